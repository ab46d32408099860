//! Rings the daemon's [`Waker`] when a watched directory changes.
//!
//! A wake-up only makes the next look come sooner; nothing is concluded from an event. So a lost
//! or a spurious one does no harm, and without inotify the daemon looks once per
//! [`super::SCAN_INTERVAL`] all the same.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use inotify::{Inotify, WatchDescriptor, WatchMask, Watches};

use crate::io::Waker;

/// Directories that may be watched; beyond, the looks once per second must do.
pub const MAX_DIRECTORIES: usize = 1024;

/// The watch on the directories of the followed files. Dropping it ends its thread.
#[derive(Debug)]
pub struct Wakeups {
    watches: Option<Watches>,
    watched: BTreeMap<PathBuf, WatchDescriptor>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    warned: bool,
}

impl Wakeups {
    /// Starts to watch nothing yet; see [`Wakeups::watch`].
    pub fn start(waker: Arc<Waker>) -> Self {
        let stopping = Arc::new(AtomicBool::new(false));
        let mut wakeups = Self {
            watches: None,
            watched: BTreeMap::new(),
            stopping: Arc::clone(&stopping),
            thread: None,
            warned: false,
        };
        let inotify = match Inotify::init() {
            Ok(inotify) => inotify,
            Err(error) => {
                wakeups.warn(&error);
                return wakeups;
            }
        };
        let watches = inotify.watches();
        let thread = std::thread::Builder::new().name("wakeups".to_owned());
        match thread.spawn(move || ring(inotify, &waker, &stopping)) {
            Ok(thread) => (wakeups.watches, wakeups.thread) = (Some(watches), Some(thread)),
            Err(error) => wakeups.warn(&error),
        }
        wakeups
    }

    /// Watches exactly `directories`; those that cannot be watched are tried again next time.
    pub fn watch(&mut self, directories: &[PathBuf]) {
        let Some(mut watches) = self.watches.clone() else { return };
        let gone = |path: &PathBuf| !directories.contains(path);
        let old: Vec<PathBuf> = self.watched.keys().filter(|path| gone(path)).cloned().collect();
        for path in old {
            if let Some(descriptor) = self.watched.remove(&path) {
                // Two names of one directory share a descriptor; a failure means it is gone.
                if !self.watched.values().any(|other| *other == descriptor) {
                    let _ = watches.remove(descriptor);
                }
            }
        }
        for path in directories.iter().take(MAX_DIRECTORIES) {
            // Adding a watched directory again is harmless, and renews one that was deleted.
            match watches.add(path, MASK | WatchMask::ONLYDIR) {
                Ok(descriptor) => drop(self.watched.insert(path.clone(), descriptor)),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => (),
                Err(error) => self.warn(&error),
            }
        }
    }

    /// Directories watched now.
    pub fn watched(&self) -> usize {
        self.watched.len()
    }

    fn warn(&mut self, error: &std::io::Error) {
        if !self.warned {
            self.warned = true;
            tracing::warn!(
                %error,
                "no file events; looking once per second instead; \
                 raise fs.inotify.max_user_watches and max_user_instances with sysctl"
            );
        }
    }
}

const MASK: WatchMask = WatchMask::MODIFY
    .union(WatchMask::CREATE)
    .union(WatchMask::MOVED_FROM)
    .union(WatchMask::MOVED_TO)
    .union(WatchMask::DELETE);

fn ring(mut inotify: Inotify, waker: &Waker, stopping: &AtomicBool) {
    let mut buffer = [0; 4096];
    while !stopping.load(Ordering::Acquire) {
        match inotify.read_events_blocking(&mut buffer) {
            Ok(_) => waker.wake(),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => (),
            Err(error) => {
                tracing::debug!(%error, "file events ended");
                return;
            }
        }
    }
}

impl Drop for Wakeups {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Release);
        let (Some(mut watches), Some(thread)) = (self.watches.take(), self.thread.take()) else {
            return;
        };
        // The end of any watch is an event, which lets the thread see the flag. Without one it
        // is left waiting: it holds nothing, and the process is about to end.
        let rung = watches
            .add("/", WatchMask::DELETE_SELF)
            .and_then(|descriptor| watches.remove(descriptor));
        if rung.is_ok() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_written_line_rings_the_waker() {
        let dir = tempfile::tempdir().expect("a directory");
        let waker = Arc::new(Waker::default());
        let mut wakeups = Wakeups::start(Arc::clone(&waker));
        wakeups.watch(&[dir.path().to_owned(), dir.path().join("missing")]);
        assert_eq!(1, wakeups.watched());
        std::fs::write(dir.path().join("a.log"), "one\n").expect("written");
        assert!(waker.wait(Duration::from_secs(10)));
    }

    #[test]
    fn dropping_it_ends_its_thread() {
        let waker = Arc::new(Waker::default());
        let wakeups = Wakeups::start(Arc::clone(&waker));
        drop(wakeups);
        assert_eq!(1, Arc::strong_count(&waker), "the thread gave its share back");
    }
}
