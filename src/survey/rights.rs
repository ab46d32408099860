//! Whether the user that will run gatewatch may read a log, and the command that lets it.
//!
//! That user is mostly not the one who asks, so the answer is worked out from modes, groups and
//! access control lists, as the kernel would.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::model::Place;
use super::tree::Tree;

/// The user that the unit file runs.
pub const USER: &str = "gatewatch";

/// Its group for logs on Debian, which the unit file adds.
const LOGS_GROUP: &str = "adm";

/// Who will read the logs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reader {
    /// The name, for commands.
    pub name: String,
    /// There is no such user yet.
    pub is_planned: bool,
    uid: Option<u32>,
    gids: Vec<u32>,
}

/// What keeps somebody from reading a log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Obstacle {
    /// The log, or a folder on the way to it.
    pub path: PathBuf,
    /// Its mode, such as 0640.
    pub mode: u32,
    /// Its group, by name where it is known.
    pub group: String,
    /// The command that takes it out of the way.
    pub fix: String,
}

/// Users and groups of a machine.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    users: Vec<(String, u32, u32)>,
    /// Name, number, members.
    groups: Vec<(String, u32, Vec<String>)>,
}

impl Accounts {
    /// Reads `passwd` and `group`.
    pub(super) fn read(tree: &mut Tree) -> Self {
        let mut text = |path: &str| {
            let place = Place { file: tree.here(path), line: 0 };
            let bytes = if tree.has(path) { tree.read(path, &place) } else { None };
            String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
        };
        Self::parse(&text("/etc/passwd"), &text("/etc/group"))
    }

    fn parse(passwd: &str, group: &str) -> Self {
        let users = passwd.lines().filter_map(|line| {
            let mut parts = line.split(':');
            let name = parts.next()?.to_owned();
            let uid = parts.nth(1)?.parse().ok()?;
            Some((name, uid, parts.next()?.parse().ok()?))
        });
        let groups = group.lines().filter_map(|line| {
            let mut parts = line.split(':');
            let name = parts.next()?.to_owned();
            let gid = parts.nth(1)?.parse().ok()?;
            let members = parts.next().unwrap_or_default().split(',');
            Some((name, gid, members.map(str::to_owned).collect()))
        });
        Self { users: users.collect(), groups: groups.collect() }
    }

    /// The user `gatewatch`; without one, the user who asks, or for root the user that is to come.
    pub fn reader(&self) -> Reader {
        if let Some((name, uid, gid)) = self.users.iter().find(|(name, ..)| name == USER) {
            let with = self.groups.iter().filter(|(_, _, members)| members.contains(name));
            let gids = std::iter::once(*gid).chain(with.map(|(_, gid, _)| *gid)).collect();
            return Reader { name: name.clone(), is_planned: false, uid: Some(*uid), gids };
        }
        let me = rustix::process::geteuid();
        if me.is_root() {
            let adm = self.groups.iter().find(|(name, ..)| name == LOGS_GROUP);
            let gids = adm.iter().map(|(_, gid, _)| *gid).collect();
            return Reader { name: USER.to_owned(), is_planned: true, uid: None, gids };
        }
        let name = self.users.iter().find(|(_, uid, _)| *uid == me.as_raw());
        let name = name.map_or_else(|| me.as_raw().to_string(), |(name, ..)| name.clone());
        let groups = rustix::process::getgroups().unwrap_or_default();
        let own = rustix::process::getegid();
        let gids = groups.iter().chain([&own]).map(|gid| gid.as_raw()).collect();
        Reader { name, is_planned: false, uid: Some(me.as_raw()), gids }
    }

    fn group_name(&self, gid: u32) -> String {
        let known = self.groups.iter().find(|(_, known, _)| *known == gid);
        known.map_or_else(|| gid.to_string(), |(name, ..)| name.clone())
    }
}

const READ: u32 = 4;
const SEARCH: u32 = 1;

impl Reader {
    /// It is the user who asks.
    pub fn is_me(&self) -> bool {
        self.uid == Some(rustix::process::geteuid().as_raw())
    }

    /// The group of a user that is there.
    pub fn group(&self) -> Option<u32> {
        self.gids.first().copied().filter(|_| !self.is_planned)
    }

    /// What keeps this user from reading `file`, which exists; folders above `root` do not count.
    pub fn obstacle(&self, file: &Path, root: &Path, accounts: &Accounts) -> Option<Obstacle> {
        if self.uid == Some(0) {
            return None;
        }
        let mut way: Vec<&Path> = file.ancestors().skip(1).collect();
        way.retain(|folder| folder.starts_with(root) && *folder != root);
        way.reverse();
        let folders = way.into_iter().map(|folder| (folder, SEARCH));
        for (path, wanted) in folders.chain([(file, READ)]) {
            let Ok(meta) = fs::metadata(path) else { continue };
            if self.may(path, &meta, wanted) {
                continue;
            }
            let group = accounts.group_name(meta.gid());
            let by_group = meta.mode() >> 3 & wanted == wanted && group == LOGS_GROUP;
            let folder = file.parent().unwrap_or(file);
            let name = &self.name;
            let fix = if by_group {
                format!("usermod -aG {LOGS_GROUP} {name}")
            } else {
                // For the files of today and for those that rotation will make.
                format!("setfacl -R -m u:{name}:rX -m d:u:{name}:rX {}", folder.display())
            };
            let mode = meta.mode() & 0o7777;
            return Some(Obstacle { path: path.to_owned(), mode, group, fix });
        }
        None
    }

    fn may(&self, path: &Path, meta: &fs::Metadata, wanted: u32) -> bool {
        let mode = meta.mode();
        let grants = |bits: u32| bits & wanted == wanted;
        if self.uid == Some(meta.uid()) {
            return grants(mode >> 6);
        }
        if let Some(uid) = self.uid
            && let Some(permissions) = named_user(path, uid)
        {
            // With a list, the bits of the group are the mask of what it may grant.
            return grants(permissions & (mode >> 3));
        }
        if self.gids.contains(&meta.gid()) {
            return grants(mode >> 3);
        }
        grants(mode)
    }

    /// A file that is made with this mode, owner and group can be read.
    pub fn may_read_new(&self, mode: u32, owner: &str, group: &str, accounts: &Accounts) -> bool {
        let gid = accounts.groups.iter().find(|(name, ..)| name == group).map(|(_, gid, _)| *gid);
        if owner == self.name {
            return mode >> 6 & READ == READ;
        }
        if gid.is_some_and(|gid| self.gids.contains(&gid)) {
            return mode >> 3 & READ == READ;
        }
        mode & READ == READ
    }
}

/// What the access control list of `path` grants to a user by name, before its mask.
fn named_user(path: &Path, uid: u32) -> Option<u32> {
    let mut list = [0u8; 4096];
    let length = rustix::fs::getxattr(path, "system.posix_acl_access", &mut list[..]).ok()?;
    parse_acl(list.get(4..length)?, uid)
}

/// An entry is a tag, permissions and a number (`acl_ea_entry` of linux/posix_acl_xattr.h).
fn parse_acl(entries: &[u8], uid: u32) -> Option<u32> {
    const USER_BY_NAME: u16 = 2;
    let word = |entry: &[u8], at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
    let number = |entry: &[u8]| u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
    let mut entries = entries.chunks_exact(8);
    let entry = entries.find(|entry| word(entry, 0) == USER_BY_NAME && number(entry) == uid)?;
    Some(u32::from(word(entry, 2)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const PASSWD: &str = "root:x:0:0::/:/bin/sh\ngatewatch:x:64001:64002::/:/bin/false\nbad line\n";

    fn accounts(members: &str) -> Accounts {
        Accounts::parse(PASSWD, &format!("adm:x:{}:{members}\nweb:x:64003:\n", own_gid()))
    }

    fn own_gid() -> u32 {
        rustix::process::getegid().as_raw()
    }

    #[track_caller]
    fn check(mode: u32, folder_mode: u32, members: &str, expected: Option<&str>) {
        let folder = tempfile::tempdir().expect("a folder");
        let logs = folder.path().join("logs");
        fs::create_dir(&logs).expect("made");
        let file = logs.join("a.log");
        fs::write(&file, "").expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("set");
        fs::set_permissions(&logs, fs::Permissions::from_mode(folder_mode)).expect("set");
        let accounts = accounts(members);
        let obstacle = accounts.reader().obstacle(&file, folder.path(), &accounts);
        let fix =
            obstacle.map(|obstacle| obstacle.fix.replace(&logs.display().to_string(), "LOGS"));
        assert_eq!(expected, fix.as_deref());
    }

    #[test]
    fn modes_and_groups_decide() {
        let adm = Some("usermod -aG adm gatewatch");
        let acl = Some("setfacl -R -m u:gatewatch:rX -m d:u:gatewatch:rX LOGS");
        check(0o644, 0o755, "", None);
        check(0o640, 0o755, "", adm);
        check(0o640, 0o755, "gatewatch", None);
        check(0o600, 0o755, "gatewatch", acl);
        check(0o644, 0o750, "", adm);
        check(0o644, 0o700, "gatewatch", acl);
    }

    #[test]
    fn a_new_file_is_judged_by_its_mode() {
        let accounts = accounts("gatewatch");
        let reader = accounts.reader();
        assert!(reader.may_read_new(0o640, "www-data", "adm", &accounts));
        assert!(!reader.may_read_new(0o600, "www-data", "adm", &accounts));
        assert!(!reader.may_read_new(0o640, "root", "web", &accounts));
    }

    #[test]
    fn an_entry_for_a_user_by_name_is_found() {
        let list = [1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 5, 0, 7, 0, 0, 0, 4, 0, 4, 0, 0, 0];
        assert_eq!(Some(5), parse_acl(&list, 7));
        assert_eq!(None, parse_acl(&list, 8));
        assert_eq!(None, parse_acl(&[2, 0, 5], 7));
    }
}
