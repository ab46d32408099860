//! What a look finds: the files that match, and the rotated files beside them.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::follow::Follower;
use super::glob::Listings;
use super::identity::{FileId, Stat};
use super::names::{is_compressed, is_rotated_name, may_be_copy};
use super::status::NoticeKind;
use super::tail::Place;
use crate::units::{Period, Timestamp};

/// Why a file is of interest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// It matches the pattern of its source.
    Watched,
    /// Its name says that it was rotated away from a watched name.
    Neighbour,
    /// Its name begins like one whose content is being searched; good for a copy only.
    Related,
    /// An archive of a file that was rotated away from a watched name.
    Archive,
}

/// A file met in one look.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    pub(super) path: PathBuf,
    /// The name it was written under, as far as names can tell; often its own.
    pub(super) base: PathBuf,
    pub(super) source: usize,
    pub(super) kind: Kind,
    pub(super) stat: Stat,
}

impl Sighting {
    pub(super) fn is_live(&self) -> bool {
        self.kind == Kind::Watched && self.path == self.base
    }

    pub(super) fn place(&self) -> Place {
        if self.is_live() { Place::Live } else { Place::Rotated }
    }
}

/// A name that files are written under, with its source.
pub(super) type Base = (PathBuf, usize);

/// The names `name` may have been rotated away from, the shortest first.
pub(super) fn possible_bases(name: &OsStr) -> impl Iterator<Item = OsString> {
    let bytes = name.as_bytes();
    let dot = bytes.iter().rposition(|byte| *byte == b'.');
    let cuts = (1..bytes.len()).filter(|at| b".-_".contains(&bytes[*at]));
    let both = cuts.flat_map(move |at| {
        let ending = dot.filter(|dot| at < *dot).map(|dot| &bytes[dot..]);
        let with_ending = ending.map(|ending| [&bytes[..at], ending].concat());
        [Some(bytes[..at].to_vec()), with_ending].into_iter().flatten().map(OsString::from_vec)
    });
    both.filter(|base| is_rotated_name(base, name))
}

impl Follower {
    /// The files that match the patterns, each inode once.
    pub(super) fn look_at_watched(&mut self, listings: &mut Listings) -> Vec<Sighting> {
        let mut met = HashSet::new();
        let mut sightings = Vec::new();
        for source in 0..self.sources.len() {
            let before = sightings.len();
            let state = &mut self.sources[source];
            // Told once for as long as it lasts: forgotten after a whole round without it.
            let listed = std::mem::take(&mut state.status.unreadable);
            state.told_unreadable.retain(|told| listed.iter().any(|known| known.path == *told));
            let status = &mut state.status;
            (status.compressed, status.over_limit) = (0, 0);
            let Some(pattern) = self.sources[source].pattern.clone() else { continue };
            if pattern.plain().is_none()
                && let Err(kind) = listings.names(pattern.root())
                && kind != io::ErrorKind::NotFound
            {
                self.tell_unreadable(source, pattern.root(), &kind.into());
            }
            for path in pattern.walk(listings) {
                if let Some(stat) = self.look_at(source, &path, pattern.plain().is_some())
                    && met.insert(stat.id)
                {
                    let base = path.clone();
                    sightings.push(Sighting { path, base, source, kind: Kind::Watched, stat });
                }
            }
            self.sources[source].status.missing = sightings.len() == before;
        }
        if listings.is_exhausted() && !self.sources[0].told_limit {
            self.sources[0].told_limit = true;
            let path = PathBuf::from(&self.sources[0].config.path);
            self.tell(0, &path, NoticeKind::TooManyEntries);
        }
        self.name_bases(&mut sightings);
        sightings
    }

    /// The metadata of a matching path, if it is a file to follow.
    fn look_at(&mut self, source: usize, path: &Path, is_plain: bool) -> Option<Stat> {
        if self.sources[source].excludes(path) {
            return None;
        }
        if is_compressed(path) {
            let state = &mut self.sources[source];
            state.status.compressed += 1;
            if !std::mem::replace(&mut state.told_compressed, true) {
                self.tell(source, path, NoticeKind::Compressed);
            }
            return None;
        }
        match fs::metadata(path) {
            Ok(meta) if meta.is_file() => return Some(Stat::of(&meta)),
            Ok(meta) if meta.is_dir() && is_plain => {
                self.tell_unreadable(source, path, &io::ErrorKind::IsADirectory.into());
            }
            Ok(_) => (),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(error) => self.tell_unreadable(source, path, &error),
        }
        None
    }

    /// Finds for each file with a rotated name the watched name it had.
    fn name_bases(&self, sightings: &mut [Sighting]) {
        let watched = sightings.iter().map(|s| s.path.clone());
        let tails = self.tails.iter().filter(|tail| tail.place != Place::Gone);
        let bases = tails.map(|tail| tail.generation.base.clone());
        let bases: HashSet<PathBuf> = watched.chain(bases).collect();
        for sighting in sightings {
            let Some(name) = sighting.path.file_name() else { continue };
            let mut possible = possible_bases(name).map(|base| sighting.path.with_file_name(base));
            if let Some(base) = possible.find(|base| bases.contains(base)) {
                sighting.base = base;
            }
        }
    }

    /// The rotated files beside `bases`, of each directory that may hold new ones, and the
    /// directories looked through. `wanted` are the bases whose content is being searched.
    pub(super) fn look_at_neighbours(
        &mut self,
        listings: &mut Listings,
        bases: &[Base],
        wanted: &[Base],
        watched: &HashSet<FileId>,
        now: Timestamp,
    ) -> (Vec<Sighting>, HashSet<PathBuf>) {
        let directories = bases.iter().filter_map(|(base, _)| base.parent());
        let directories: HashSet<PathBuf> = directories.map(Path::to_owned).collect();
        let mut sightings = Vec::new();
        let mut looked = HashSet::new();
        for directory in directories {
            let is_wanted = wanted.iter().any(|(base, _)| base.parent() == Some(&directory));
            if !is_wanted && self.is_settled(&directory, now) {
                continue;
            }
            let Ok(names) = listings.names(&directory) else { continue };
            for name in names {
                let path = directory.join(&name);
                if is_compressed(&path) {
                    continue;
                }
                let mut possible = possible_bases(&name).map(|base| directory.join(base));
                let neighbour =
                    possible.find_map(|path| bases.iter().find(|(base, _)| *base == path));
                let related = || {
                    let related = |base: &&Base| {
                        base.0.parent() == Some(&directory)
                            && base.0.file_name().is_some_and(|base| may_be_copy(base, &name))
                    };
                    wanted.iter().find(related)
                };
                let (kind, base) = match neighbour {
                    Some(base) => (Kind::Neighbour, base),
                    None => match related() {
                        Some(base) => (Kind::Related, base),
                        None => continue,
                    },
                };
                let Ok(meta) = fs::metadata(&path) else { continue };
                let stat = Stat::of(&meta);
                if meta.is_file() && !watched.contains(&stat.id) {
                    let (base, source) = base.clone();
                    sightings.push(Sighting { path, base, source, kind, stat });
                }
            }
            looked.insert(directory);
        }
        (sightings, looked)
    }

    fn is_settled(&self, directory: &Path, now: Timestamp) -> bool {
        let Some(settled) = self.settled.get(directory) else { return false };
        // Within the same tick of the kernel's clock a directory can change twice unseen.
        let modified = directory_modified(directory);
        modified == Some(*settled) && Period::from_secs(2) < now.since(*settled)
    }
}

/// When names were last added to or taken from a directory.
pub(super) fn directory_modified(directory: &Path) -> Option<Timestamp> {
    fs::metadata(directory).ok().map(|meta| Stat::of(&meta).modified)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bases_of_a_rotated_name_come_shortest_first() {
        let bases = |name: &str| -> Vec<OsString> { possible_bases(OsStr::new(name)).collect() };
        assert_eq!(["access.log"].map(OsString::from).as_slice(), bases("access.log.1"));
        assert!(bases("access-20261120.log").contains(&"access.log".into()));
        assert_eq!(Some(&"a.log".into()), bases("a.log-20261120.1").first());
        assert!(bases("access.log").is_empty());
    }
}
