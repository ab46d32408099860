//! sudo, su, doas and pkexec: who became whom, and who was refused.

use super::grammar::{Part, parts, read};
use super::{Verdict, cut, cut_last, set_count, set_user};
use crate::engine::batch::{Action, AuthMethod, Field, Reason, Writer};

/// Reads one message; what is not known stays as it is.
pub(super) fn parse(program: &[u8], text: &[u8], out: &mut Writer<'_>) {
    let known = match program {
        b"su" => su(text, out),
        b"doas" | b"pkexec" => runner(text, out),
        _ => sudo(text, out),
    };
    if known {
        out.set(Field::Service, program);
    }
}

/// `<user> : [<complaint> ; ]TTY=… ; PWD=… ; USER=<target> ; COMMAND=…`.
fn sudo(text: &[u8], out: &mut Writer<'_>) -> bool {
    let Some((user, rest)) = cut(text, b" : ") else { return false };
    let is_command = [&b"TTY="[..], b"HOST=", b"PWD=", b"USER=", b"(command continued)"]
        .iter()
        .any(|key| rest.starts_with(key));
    let complaint = match cut(rest, b" ; ") {
        _ if is_command => b"",
        Some((complaint, _)) => complaint,
        None => return false,
    };
    set_user(user.trim_ascii(), out);
    if let Some((_, target)) = cut(rest, b"USER=") {
        let target = cut(target, b" ;").map_or(target, |(target, _)| target);
        out.set(Field::TargetUser, target);
    }
    verdict(complaint, out).set(Action::PrivilegeElevation, out);
    true
}

fn verdict(complaint: &[u8], out: &mut Writer<'_>) -> Verdict {
    if complaint.is_empty() {
        return Verdict::success(AuthMethod::Sudo);
    }
    let digits = complaint.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if (1..=9).contains(&digits) && complaint[digits..].starts_with(b" incorrect password") {
        if &complaint[..digits] != b"1" {
            set_count(&complaint[..digits], out);
        }
        return Verdict::failure(Reason::WrongPassword, AuthMethod::Sudo);
    }
    // `user NOT in sudoers`, `command not allowed`, `a password is required`: no guess was made.
    Verdict::uncounted(Reason::NotAllowed, AuthMethod::Sudo)
}

/// doas and pkexec.
fn runner(text: &[u8], out: &mut Writer<'_>) -> bool {
    const DOAS: Verdict = Verdict::success(AuthMethod::Sudo);
    const WRONG: Verdict = Verdict::failure(Reason::WrongPassword, AuthMethod::Sudo);
    const REFUSED: Verdict = Verdict::uncounted(Reason::NotAllowed, AuthMethod::Sudo);
    // The target stands behind what the user typed only for doas, whose commands are quoted by
    // nothing, so it is not taken from there.
    const SHAPES: [(&[Part], Verdict); 7] = [
        (parts!("failed auth for " user), WRONG),
        (parts!("failed password for " user), WRONG),
        (parts!("failed command for " word ": " free), REFUSED),
        (parts!("command not permitted for " word ": " free), REFUSED),
        (parts!(word " ran command " free), DOAS),
        (parts!(word ": Executing command [USER=" free), DOAS),
        (
            parts!(word ": Error executing command as another user: Not authorized [USER=" free),
            REFUSED,
        ),
    ];
    let found = SHAPES.iter().find_map(|(shape, verdict)| Some((read(shape, text)?, verdict)));
    let Some((reading, verdict)) = found else { return false };
    // A user of these is an account of the system: one word.
    let named = [&b"command for "[..], b"permitted for "].iter().find_map(|lead| cut(text, lead));
    let rest = named.map_or(text, |(_, rest)| rest);
    let word = rest.iter().position(|byte| matches!(byte, b' ' | b':')).unwrap_or(rest.len());
    set_user(reading.user.unwrap_or(&rest[..word]), out);
    if let Some((_, target)) = cut(text, b" [USER=")
        && let Some((target, _)) = cut(target, b"]")
    {
        out.set(Field::TargetUser, target);
    }
    verdict.set(Action::PrivilegeElevation, out);
    true
}

/// su speaks differently on each system.
fn su(text: &[u8], out: &mut Writer<'_>) -> bool {
    let shapes: [(&[u8], bool); 6] = [
        (b"FAILED SU (to ", false),
        (b"(to ", true),
        (b"FAILED su for ", false),
        (b"Successful su for ", true),
        (b"BAD SU ", false),
        (b"BAD su ", false),
    ];
    let found = shapes.into_iter().find_map(|(start, is_success)| {
        let rest = text.strip_prefix(start)?;
        let (target, user) = if start.ends_with(b"(to ") {
            let (target, rest) = cut(rest, b") ")?;
            (target, cut_last(rest, b" on ")?.0)
        } else if start.ends_with(b" for ") {
            cut(rest, b" by ")?
        } else {
            let (user, rest) = cut(rest, b" to ")?;
            (cut_last(rest, b" on ")?.0, user)
        };
        Some((target, user, is_success))
    });
    let Some((target, user, is_success)) = found else { return false };
    set_user(user, out);
    out.set(Field::TargetUser, target);
    let verdict = if is_success {
        Verdict::success(AuthMethod::Su)
    } else {
        Verdict::failure(Reason::WrongPassword, AuthMethod::Su)
    };
    verdict.set(Action::PrivilegeElevation, out);
    true
}

#[cfg(test)]
mod tests {
    use super::super::super::testing;

    /// User, target, outcome, reason and whether it counts.
    #[track_caller]
    fn check(message: &str, expected: [&str; 5]) {
        let names = ["user.name", "user.effective.name", "outcome", "reason", "counted"];
        let expected: Vec<(&str, &str)> = names.into_iter().zip(expected).collect();
        let line = format!("Nov 20 07:00:18 web1 {message}");
        testing::check(super::super::parse, &line, &expected);
        testing::check(super::super::parse, &line, &[("action", "privilege_elevation")]);
    }

    #[test]
    fn sudo_tells_who_became_whom() {
        let tail = "TTY=pts/0 ; PWD=/root ; USER=root ; COMMAND=/bin/ls";
        check(&format!("sudo:     bob : {tail}"), ["bob", "root", "success", "-", "false"]);
        check(
            &format!("sudo[5]: bob : 3 incorrect password attempts ; {tail}"),
            ["bob", "root", "failure", "wrong_password", "true"],
        );
        check(
            &format!("sudo: bob : user NOT in sudoers ; {tail}"),
            ["bob", "root", "failure", "not_allowed", "false"],
        );
        testing::check(
            super::super::parse,
            &format!("Nov 20 07:00:18 h sudo: bob : 3 incorrect password attempts ; {tail}"),
            &[("count", "3"), ("service.name", "sudo"), ("method", "sudo")],
        );
    }

    #[test]
    fn su_tells_who_became_whom() {
        let success = ["bob", "root", "success", "-", "false"];
        let failure = ["bob", "root", "failure", "wrong_password", "true"];
        check("su: (to root) bob on pts/0", success);
        check("su[5]: Successful su for root by bob", success);
        check("su: FAILED SU (to root) bob on pts/0", failure);
        check("su[5]: FAILED su for root by bob", failure);
        check("su: BAD SU bob to root on pts/0", failure);
    }
}
