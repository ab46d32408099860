//! Secrets in queries, hidden before a line or a URL leaves.
//!
//! Applications put passwords and tokens into query strings, servers log them, and whoever reads
//! the events would have them. What is hidden is the value of a parameter whose name says that it
//! opens a door, in the target, the query, the referrer and the raw line. Rules look at the line as
//! it was logged: an attack is found in any parameter.
//!
//! Invariant: a text without such a parameter is the same text, not a copy of it.

use std::borrow::Cow;

/// What stands in the place of a secret.
const HIDDEN: &[u8] = b"***";

/// Longest name of a parameter that is looked at.
const NAME_MAX: usize = 32;

/// Names of parameters whose values open doors, lower-cased, `-` written as `_`.
const SECRETS: &[&str] = &[
    "access_token",
    "api_key",
    "api_token",
    "apikey",
    "apitoken",
    "assertion",
    "auth_token",
    "authorization",
    "authtoken",
    "client_secret",
    "id_token",
    "jsessionid",
    "jwt",
    "login_token",
    "new_password",
    "otp",
    "pass",
    "passphrase",
    "passwd",
    "password",
    "password1",
    "password2",
    "passwort",
    "phpsessid",
    "private_token",
    "pwd",
    "refresh_token",
    "reset_token",
    "samlresponse",
    "secret",
    "session",
    "session_id",
    "sessionid",
    "sessiontoken",
    "sig",
    "signature",
    "token",
    "user_pass",
    "x_amz_security_token",
    "x_amz_signature",
];

/// Where the first parameter of a text stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// At its start: a query without its question mark.
    Query,
    /// Behind a `?`, `&` or `;`: a URL, or a line that holds some.
    Text,
}

/// `text` with the values of secret parameters replaced by `***`.
pub fn secrets(text: &[u8], form: Form) -> Cow<'_, [u8]> {
    let mut clean: Option<Vec<u8>> = None;
    let mut kept = 0;
    for equals in memchr::memchr_iter(b'=', text) {
        let Some(begin) = (kept <= equals).then(|| secret_before(text, equals, form)).flatten()
        else {
            continue;
        };
        let value = equals + 1;
        // A parameter of the path ends where the query begins.
        let ends = |byte: &u8| ends_a_value(*byte) || (begin == b';' && *byte == b'?');
        let length = text[value..].iter().position(ends);
        let end = length.map_or(text.len(), |length| value + length);
        if value == end {
            continue;
        }
        let clean = clean.get_or_insert_with(|| Vec::with_capacity(text.len()));
        clean.extend_from_slice(&text[kept..value]);
        clean.extend_from_slice(HIDDEN);
        kept = end;
    }
    match clean {
        None => Cow::Borrowed(text),
        Some(mut clean) => {
            clean.extend_from_slice(&text[kept..]);
            Cow::Owned(clean)
        }
    }
}

/// What stands before the name in front of the equals sign at `equals`, if that is the name of a
/// secret parameter; `&` where it is the first of a query.
fn secret_before(text: &[u8], equals: usize, form: Form) -> Option<u8> {
    let from = equals.saturating_sub(NAME_MAX + 1);
    let before = &text[from..equals];
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let length = before.iter().rev().take_while(|byte| is_of_name(byte)).count();
    let (rest, name) = before.split_at(before.len() - length);
    let begin = match rest.last() {
        Some(byte @ (b'?' | b'&' | b';')) => *byte,
        None if from == 0 && form == Form::Query => b'&',
        _ => return None,
    };
    is_secret(name).then_some(begin)
}

fn is_secret(name: &[u8]) -> bool {
    if NAME_MAX < name.len() {
        return false;
    }
    let mut lower = [0; NAME_MAX];
    for (to, byte) in lower.iter_mut().zip(name) {
        *to = if *byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
    }
    let lower = &lower[..name.len()];
    SECRETS.binary_search_by(|known| known.as_bytes().cmp(lower)).is_ok()
}

/// What no value holds unescaped: the next parameter, the fragment, the end of a quoted text.
fn ends_a_value(byte: u8) -> bool {
    matches!(byte, b'&' | b';' | b'#' | b'"' | b'\'' | b' ' | b'\t' | b'<' | b'>')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(form: Form, text: &str, expected: &str) {
        assert_eq!(expected, String::from_utf8_lossy(&secrets(text.as_bytes(), form)), "{text}");
    }

    #[test]
    fn the_names_are_sorted() {
        assert!(SECRETS.is_sorted());
        assert!(SECRETS.iter().all(|name| name.len() <= NAME_MAX));
    }

    #[test]
    fn values_of_secret_parameters_are_hidden() {
        check(Form::Text, "/a?user=bob&password=x&y=1", "/a?user=bob&password=***&y=1");
        check(Form::Text, "/a?TOKEN=abc#top", "/a?TOKEN=***#top");
        check(Form::Text, "/a;jsessionid=1F?b=c", "/a;jsessionid=***?b=c");
        check(Form::Query, "token=abc", "token=***");
        check(Form::Query, "X-Amz-Signature=ab&token=", "X-Amz-Signature=***&token=");
        check(
            Form::Text,
            "GET /?pwd=a HTTP/1.1\" 200 1 \"https://s/?token=b\"",
            "GET /?pwd=*** HTTP/1.1\" 200 1 \"https://s/?token=***\"",
        );
    }

    #[test]
    fn everything_else_stays() {
        for text in ["/a?tokens=1&mytoken=2&pass word=3", "/pass=1", "pass=1", "/?a=b=c&key=", "="]
        {
            check(Form::Text, text, text);
        }
        check(Form::Query, "xtoken=1&next=/a?b", "xtoken=1&next=/a?b");
    }

    proptest! {
        #[test]
        fn any_text_is_taken_and_twice_is_as_once(
            text in "[a&;?= #\"x-]{0,8}(token|Password|sig)?[=&?a ]{0,8}(pwd=)?[ab&=]{0,8}",
        ) {
            for form in [Form::Query, Form::Text] {
                let once = secrets(text.as_bytes(), form).into_owned();
                let twice = secrets(&once, form);
                prop_assert_eq!(&once[..], &twice[..]);
            }
        }
    }
}
