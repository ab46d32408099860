//! What the operating system says about this process, from `/proc/self`.
//!
//! A value that cannot be read is absent, never 0: an alert on it would be silent for ever.

use std::fs;

/// Ticks in a second of `/proc/self/stat`. Linux shows 100 on every architecture it still has,
/// whatever the kernel's own clock rate.
const TICKS_PER_SECOND: f64 = 100.0;

/// Figures about this process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessStats {
    /// Memory held in RAM, in bytes.
    pub resident_bytes: Option<u64>,
    /// Processor time used, in user and system mode.
    pub cpu_seconds: Option<f64>,
    /// Open file descriptors.
    pub open_files: Option<u64>,
    /// Most file descriptors it may open.
    pub max_files: Option<u64>,
}

impl ProcessStats {
    /// The present figures.
    pub fn read() -> Self {
        let text = |name: &str| fs::read_to_string(format!("/proc/self/{name}")).ok();
        Self {
            resident_bytes: text("status").and_then(|status| resident_bytes(&status)),
            cpu_seconds: text("stat").and_then(|stat| cpu_seconds(&stat)),
            open_files: fs::read_dir("/proc/self/fd").ok().map(|entries| {
                // The listing itself holds one descriptor.
                (entries.count() as u64).saturating_sub(1)
            }),
            max_files: text("limits").and_then(|limits| max_files(&limits)),
        }
    }
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    // The program's name, in parentheses, may hold blanks and parentheses itself.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system) as f64 / TICKS_PER_SECOND)
}

fn max_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_found_in_the_kernels_texts() {
        assert_eq!(Some(2_097_152), resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t3\n"));
        let stat = "42 (gate) watch) S 1 42 42 0 -1 4194304 900 0 1 0 1250 250 0 0 20 0 4 0 77 9";
        assert_eq!(Some(15.0), cpu_seconds(stat));
        let limits =
            "Limit    Soft Limit  Hard Limit  Units\nMax open files    1024   4096   files\n";
        assert_eq!(Some(1024), max_files(limits));
    }

    #[test]
    fn texts_of_another_shape_give_nothing() {
        for text in ["", "VmRSS:", "VmRSS: many kB", "1 (x) S 1", "Max open files unlimited"] {
            assert_eq!(None, resident_bytes(text));
            assert_eq!(None, cpu_seconds(text));
            assert_eq!(None, max_files(text));
        }
    }

    #[test]
    fn this_process_has_figures() {
        let stats = ProcessStats::read();
        assert!(stats.resident_bytes.is_some_and(|bytes| 0 < bytes), "{stats:?}");
        assert!(stats.open_files.is_some_and(|files| 2 < files), "{stats:?}");
        assert!(stats.cpu_seconds.is_some() && stats.max_files.is_some(), "{stats:?}");
    }
}
