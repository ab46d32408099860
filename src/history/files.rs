//! The folder of the archive: days, their parts, and how files come and go there.
//!
//! ```text
//! history/date=2026-11-20/part-T103000-9f86d081884c7d65.parquet
//!         _damaged/…                    what could not be read, kept for a look
//!         .work/…                       being made; emptied by the next writer
//!         .lock                         held by whoever changes something
//! ```
//!
//! A name says when the first event happened, and the XXH64 of the content (`xxhsum -H1`).
//!
//! Invariant: what has a day's folder as its place is whole and on the disk. A part appears by one
//! rename, parts are replaced by one exchange of two folders, so that other programs never see an event
//! twice or miss one.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::Hasher as _;
use std::io::{self, Read as _, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use twox_hash::XxHash64;

use super::HistoryError;
use crate::units::{ByteSize, Timestamp, civil_from_days, days_from_civil};

/// A day, counted from 1970 in UTC.
pub type DayNumber = u64;

/// A file of the archive.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Part {
    /// Day of its events, UTC.
    pub day: DayNumber,
    /// Where it is. Names sort by the time of the first event.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

impl Part {
    fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// Before its first event, by its name; the start of its day where the name does not say.
    pub(super) fn starts(&self) -> Timestamp {
        let clock = self.name().strip_prefix("part-T").and_then(|rest| rest.get(..6));
        let clock = clock.and_then(|digits| digits.parse::<u64>().ok()).unwrap_or(0);
        let seconds = clock / 10_000 * 3600 + clock / 100 % 100 * 60 + clock % 100;
        Timestamp::from_secs(self.day * 86_400 + seconds)
    }

    /// Whether its content is what was written.
    pub(super) fn is_sound(&self) -> Result<bool, HistoryError> {
        let fail = |error| HistoryError::io("read", &self.path)(error);
        let mut file = File::open(&self.path).map_err(fail)?;
        let (mut hash, mut buffer) = (XxHash64::with_seed(0), vec![0; 1 << 16]);
        loop {
            match file.read(&mut buffer).map_err(fail)? {
                0 => break,
                read => hash.write(&buffer[..read]),
            }
        }
        Ok(self.name().contains(&format!("-{:016x}.", hash.finish())))
    }
}

/// A part that is written and not yet in its place.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) day: DayNumber,
    pub(super) path: PathBuf,
    pub(super) name: String,
    pub(super) rows: u64,
}

/// Writes a file and works out its checksum on the way.
pub(super) struct Hashing {
    file: File,
    hash: XxHash64,
    bytes: u64,
}

impl Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.write(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Hashing {
    /// Bytes so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts all of it on the disk; answers the checksum.
    pub(super) fn sync(&mut self) -> io::Result<u64> {
        self.file.sync_all()?;
        Ok(self.hash.finish())
    }
}

/// The folder of the archive.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    root: PathBuf,
}

const WORK: &str = ".work";
const ASIDE: &str = "_damaged";
const LOCK: &str = ".lock";

/// What an interrupted exchange without the kernel's help leaves in `.work`.
const PARKED: &str = "parked-";

impl Tree {
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the folders that are missing, and takes the lock; it is held as long as the answer.
    pub(super) fn lock(&self) -> Result<File, HistoryError> {
        for folder in [self.root.clone(), self.root.join(WORK)] {
            make_folder(&folder)?;
        }
        let path = self.root.join(LOCK);
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).write(true).mode(0o600);
        let file = options.open(&path).map_err(HistoryError::io("open", &path))?;
        file.lock().map_err(HistoryError::io("lock", &path))?;
        Ok(file)
    }

    /// Keeps writers away while the parts are listed; nothing where there is no archive, or where it may
    /// only be looked at.
    pub(super) fn lock_shared(&self) -> Option<File> {
        let file = File::open(self.root.join(LOCK)).ok()?;
        file.lock_shared().ok()?;
        Some(file)
    }

    /// Removes what a writer left that was killed. Only under the lock.
    pub(super) fn clean(&self) -> Result<(), HistoryError> {
        let work = self.root.join(WORK);
        for entry in list(&work)? {
            let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let day = name.strip_prefix(PARKED).map(|day| self.root.join(day));
            match day {
                // Killed between two renames: the old parts go back.
                Some(day) if !day.exists() => {
                    fs::rename(&entry, &day).map_err(HistoryError::io("move", &entry))?;
                    sync(&self.root)?;
                }
                _ => remove(&entry)?,
            }
        }
        Ok(())
    }

    fn day_folder(&self, day: DayNumber) -> PathBuf {
        self.root.join(day_name(day))
    }

    /// All parts, the oldest day first, and in a day by the time of the first event.
    pub(super) fn parts(&self) -> Result<BTreeMap<DayNumber, Vec<Part>>, HistoryError> {
        let mut days = BTreeMap::new();
        for folder in list(&self.root)? {
            let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(day) = day_of(name) {
                let parts = self.parts_of(day)?;
                if !parts.is_empty() {
                    days.insert(day, parts);
                }
            }
        }
        Ok(days)
    }

    /// The parts of a day.
    pub(super) fn parts_of(&self, day: DayNumber) -> Result<Vec<Part>, HistoryError> {
        let mut parts = Vec::new();
        for path in list(&self.day_folder(day))? {
            if path.extension().is_some_and(|extension| extension == "parquet")
                && let Ok(meta) = fs::metadata(&path)
            {
                parts.push(Part { day, path, bytes: meta.len() });
            }
        }
        parts.sort();
        Ok(parts)
    }

    /// A new file in the work folder.
    pub(super) fn create(&self, number: u64) -> Result<(PathBuf, Hashing), HistoryError> {
        let path = self.root.join(WORK).join(format!("{number}.part"));
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(true).write(true).mode(0o600);
        let file = options.open(&path).map_err(HistoryError::io("make", &path))?;
        Ok((path, Hashing { file, hash: XxHash64::with_seed(0), bytes: 0 }))
    }

    /// Puts a finished part into its place.
    pub(super) fn publish(&self, part: &Finished) -> Result<(), HistoryError> {
        let folder = self.day_folder(part.day);
        if !folder.exists() {
            make_folder(&folder)?;
            sync(&self.root)?;
        }
        let place = folder.join(&part.name);
        fs::rename(&part.path, &place).map_err(HistoryError::io("publish", &place))?;
        sync(&folder)
    }

    /// Puts `new` in the place of `old`, parts of `day`, at once: whoever looks sees the ones or the
    /// others. The other parts of the day stay.
    pub(super) fn replace(
        &self,
        day: DayNumber,
        old: &[Part],
        new: &[Finished],
    ) -> Result<(), HistoryError> {
        let place = self.day_folder(day);
        let next = self.root.join(WORK).join(day_name(day));
        remove(&next)?;
        make_folder(&next)?;
        for part in self.parts_of(day)?.iter().filter(|part| !old.contains(part)) {
            let link = next.join(part.name());
            fs::hard_link(&part.path, &link).map_err(HistoryError::io("link", &link))?;
        }
        for part in new {
            let to = next.join(&part.name);
            fs::rename(&part.path, &to).map_err(HistoryError::io("move", &to))?;
        }
        sync(&next)?;
        match renameat_with(CWD, &next, CWD, &place, RenameFlags::EXCHANGE) {
            Ok(()) => (),
            Err(_) => self.exchange_slowly(day, &next, &place)?,
        }
        sync(&self.root)?;
        self.clean()?;
        if new.is_empty() && self.parts_of(day)?.is_empty() {
            remove(&place)?;
        }
        Ok(())
    }

    /// For file systems that cannot exchange: in between [`Tree::clean`] knows what to do.
    fn exchange_slowly(
        &self,
        day: DayNumber,
        next: &Path,
        place: &Path,
    ) -> Result<(), HistoryError> {
        let parked = self.root.join(WORK).join(format!("{PARKED}{}", day_name(day)));
        fs::rename(place, &parked).map_err(HistoryError::io("move", place))?;
        fs::rename(next, place).map_err(HistoryError::io("publish", place))
    }

    /// Deletes parts; a folder that becomes empty goes too.
    pub(super) fn delete(&self, parts: &[Part]) -> Result<(), HistoryError> {
        for part in parts {
            fs::remove_file(&part.path).map_err(HistoryError::io("delete", &part.path))?;
        }
        for part in parts {
            let folder = self.day_folder(part.day);
            if self.parts_of(part.day)?.is_empty() {
                remove(&folder)?;
            } else {
                sync(&folder)?;
            }
        }
        sync(&self.root)
    }

    /// Takes a part out of the archive and keeps it apart; answers where.
    pub(super) fn set_aside(&self, part: &Path) -> Result<PathBuf, HistoryError> {
        let folder = self.root.join(ASIDE);
        make_folder(&folder)?;
        let day = part.parent().and_then(Path::file_name).unwrap_or_default();
        let mut name = day.to_os_string();
        name.push("-");
        name.push(part.file_name().unwrap_or_default());
        let place = folder.join(name);
        fs::rename(part, &place).map_err(HistoryError::io("move", part))?;
        sync(&folder)?;
        Ok(place)
    }

    /// Damaged parts that are kept.
    pub(super) fn aside(&self) -> u64 {
        list(&self.root.join(ASIDE)).map_or(0, |files| files.len() as u64)
    }

    /// Bytes that are free on its disk for this user.
    pub(super) fn free(&self) -> Result<ByteSize, HistoryError> {
        let stat = rustix::fs::statvfs(&self.root)
            .map_err(|error| HistoryError::io("look at the disk of", &self.root)(error.into()))?;
        Ok(ByteSize(stat.f_bavail.saturating_mul(stat.f_frsize)))
    }
}

/// `date=2026-11-20`.
pub(super) fn day_name(day: DayNumber) -> String {
    let (year, month, day) = civil_from_days(day.cast_signed());
    format!("date={year:04}-{month:02}-{day:02}")
}

fn day_of(name: &str) -> Option<DayNumber> {
    let mut numbers = name.strip_prefix("date=")?.splitn(3, '-');
    let year: i64 = numbers.next()?.parse().ok()?;
    let month = numbers.next()?.parse().ok()?;
    let day = numbers.next()?.parse().ok()?;
    let number = u64::try_from(days_from_civil(year, month, day)).ok()?;
    (day_name(number) == name).then_some(number)
}

/// The day of a moment.
pub(super) fn day_at(time: Timestamp) -> DayNumber {
    time.secs() / 86_400
}

/// `part-T103000-9f86d081884c7d65.parquet`.
pub(super) fn part_name(first: Timestamp, checksum: u64) -> String {
    let second = first.secs() % 86_400;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("part-T{hour:02}{minute:02}{second:02}-{checksum:016x}.parquet")
}

fn make_folder(path: &Path) -> Result<(), HistoryError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(HistoryError::io("make", path))
}

/// What is in a folder; nothing where there is none.
fn list(folder: &Path) -> Result<Vec<PathBuf>, HistoryError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(HistoryError::io("read", folder)(error)),
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    paths.collect::<io::Result<_>>().map_err(HistoryError::io("read", folder))
}

fn remove(path: &Path) -> Result<(), HistoryError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(HistoryError::io("delete", path)(error))
        }
        _ => Ok(()),
    }
}

fn sync(folder: &Path) -> Result<(), HistoryError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(HistoryError::io("sync", folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_one_name_and_a_name_one_day() {
        for day in [0, 1, 20_777, 24_837] {
            assert_eq!(Some(day), day_of(&day_name(day)));
        }
        assert_eq!("date=2026-11-20", day_name(20_777));
        for odd in ["date=2026-13-01", "date=2026-1-1", "date=x", "2026-11-20", "date=2026-11-20x"]
        {
            assert_eq!(None, day_of(odd), "{odd}");
        }
    }

    #[test]
    fn a_name_says_when_it_begins_and_what_is_in_it() {
        let first = Timestamp::from_secs(20_777 * 86_400 + 10 * 3600 + 30 * 60 + 7);
        assert_eq!("part-T103007-00000000000000ff.parquet", part_name(first, 255));
    }

    #[test]
    fn an_exchange_that_was_interrupted_is_undone() {
        let dir = tempfile::tempdir().expect("a directory");
        let tree = Tree::new(&dir.path().join("history"));
        let _lock = tree.lock().expect("the lock");
        let parked = tree.root().join(".work/parked-date=2026-11-20");
        fs::create_dir(&parked).expect("made");
        fs::write(parked.join("part-a.parquet"), "x").expect("written");
        fs::write(tree.root().join(".work/7.part"), "x").expect("written");
        tree.clean().expect("cleaned");
        assert_eq!(1, tree.parts_of(20_777).expect("listed").len());
        assert_eq!(0, fs::read_dir(tree.root().join(".work")).expect("listed").count());
    }
}
