//! Who sits at the keyboard, for what has to be written down.

/// What the kernel says of a process that nobody logged in for.
const NOBODY: u32 = u32::MAX;

/// The user of the system who asks: the one who logged in, whatever became of it by sudo or su, and
/// where nobody did, the one who runs this.
pub(super) fn who() -> (u32, String) {
    let running = rustix::process::getuid().as_raw();
    let logged_in = std::fs::read_to_string("/proc/self/loginuid").ok();
    let logged_in = logged_in.and_then(|text| text.trim().parse().ok());
    let uid = logged_in.filter(|uid| *uid != NOBODY).unwrap_or(running);
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    (uid, name_of(&users, uid).unwrap_or("-").to_owned())
}

/// The name of `uid` in the text of `/etc/passwd`.
fn name_of(users: &str, uid: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut columns = line.split(':');
        let name = columns.next()?;
        (columns.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_number() {
        let users = "daemon:x:1:1::/:/bin/false\nbroken\nadmin:x:1000:1000:A,B:/srv:/bin/sh\n";
        assert_eq!(Some("admin"), name_of(users, 1000));
        assert_eq!(Some("daemon"), name_of(users, 1));
        assert_eq!(None, name_of(users, 7));
    }
}
