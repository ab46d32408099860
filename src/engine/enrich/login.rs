//! Whether a request was a log-in, how it ended, and what that proves.
//!
//! The first rule that fits decides. A status alone proves little, so each verdict carries how sure
//! it is, and whether it counts: the 401 that opens every Basic dialogue is a challenge, not a
//! failure. Pages of known applications are rows of [`PROFILES`]; the operator adds pages of their
//! own, which come first.
//!
//! Invariant: a request that shows a name is no log-in here: that the first one of a checked user is
//! one takes the lines before it ([`Memory`](crate::engine::memory::Memory)). nginx logs whatever
//! name a client sends, also where none was asked for; only a path known to be protected makes it
//! evidence.

use super::logins::{LoginPage, Logins};
use crate::engine::batch::{
    Action, Auth, AuthMethod, AuthOutcome, Confidence, Field, Grade, Module, Reason, Writer,
};
use crate::engine::text::parse_u64;

/// An application whose log-in page answers in a known way. The first row that fits decides.
struct Profile {
    /// `gatewatch.auth.app`.
    app: &'static str,
    /// Only where the operator says that the application is there.
    named: bool,
    /// Requests of any method, if they show a name.
    any_method: bool,
    fits: fn(&Place<'_>) -> bool,
    method: AuthMethod,
    confidence: Confidence,
    /// Statuses that mean refused.
    failure: &'static [u16],
    /// Statuses that mean let in. An answer in neither list does not show how it ended.
    success: &'static [u16],
}

/// A form of a known application.
const FORM: Profile = Profile {
    app: "",
    named: false,
    any_method: false,
    fits: |_| false,
    method: AuthMethod::Form,
    confidence: Confidence::Medium,
    failure: &[],
    success: &[],
};

/// Failures that say what the server did; a form that is shown again answers 200.
const SHOWN_AGAIN: &[u16] = &[200, 401, 403, 422, 429, 503];
const REFUSED: &[u16] = &[401, 403, 422, 429];
const LET_IN: &[u16] = &[302, 303];

const PROFILES: &[Profile] = &[
    Profile {
        app: "wordpress",
        fits: |place| {
            place.ends("/wp-login.php")
                && !place.has_action(&[
                    "logout",
                    "lostpassword",
                    "retrievepassword",
                    "resetpass",
                    "rp",
                    "register",
                    "postpass",
                    "confirmaction",
                ])
        },
        failure: SHOWN_AGAIN,
        success: LET_IN,
        ..FORM
    },
    // It answers 200 to everything.
    Profile { app: "wordpress-xmlrpc", fits: |place| place.ends("/xmlrpc.php"), ..FORM },
    Profile {
        app: "wordpress-rest",
        any_method: true,
        fits: |place| place.contains("/wp-json/"),
        method: AuthMethod::Rest,
        failure: &[401, 403],
        success: &[200, 201],
        ..FORM
    },
    Profile {
        app: "drupal",
        fits: |place| place.ends("/user/login") && place.segments() <= 3,
        failure: SHOWN_AGAIN,
        success: LET_IN,
        ..FORM
    },
    Profile {
        app: "joomla",
        fits: |place| {
            place.ends("/administrator/index.php")
                || place.ends("/administrator")
                || (place.ends("/index.php") && place.asks("task=user.login"))
        },
        failure: REFUSED,
        ..FORM
    },
    Profile {
        app: "django",
        fits: |place| place.ends("/admin/login") || place.ends("/accounts/login"),
        failure: SHOWN_AGAIN,
        success: LET_IN,
        ..FORM
    },
    Profile {
        app: "rails-devise",
        fits: |place| place.ends("/users/sign_in"),
        failure: SHOWN_AGAIN,
        success: LET_IN,
        ..FORM
    },
    Profile {
        app: "aspnet",
        fits: |place| place.ends("/account/login"),
        failure: SHOWN_AGAIN,
        success: LET_IN,
        ..FORM
    },
    Profile {
        app: "keycloak",
        fits: |place| place.contains("/realms/") && place.ends("/login-actions/authenticate"),
        failure: &[200, 400, 401, 403, 429],
        success: LET_IN,
        ..FORM
    },
    Profile {
        app: "oauth-token",
        fits: |place| {
            ["/oauth/token", "/oauth2/token", "/connect/token", "/openid-connect/token"]
                .iter()
                .any(|end| place.ends(end))
        },
        method: AuthMethod::Rest,
        failure: &[400, 401, 403, 429],
        success: &[200],
        ..FORM
    },
    Profile {
        app: "grafana",
        named: true,
        fits: |place| place.path == b"/login",
        failure: &[400, 401, 403, 429],
        success: &[200],
        ..FORM
    },
    Profile {
        app: "gitea",
        named: true,
        fits: |place| place.ends("/user/login"),
        failure: SHOWN_AGAIN,
        success: LET_IN,
        ..FORM
    },
    Profile {
        app: "laravel",
        named: true,
        fits: |place| place.path == b"/login",
        failure: &[403, 419, 422, 429],
        ..FORM
    },
    Profile {
        app: "nextcloud",
        named: true,
        fits: |place| place.path == b"/login" || place.path == b"/index.php/login",
        failure: REFUSED,
        ..FORM
    },
    Profile {
        app: "phpmyadmin",
        fits: |place| {
            place.contains("/phpmyadmin")
                && (place.ends("/phpmyadmin") || place.ends("/phpmyadmin/index.php"))
        },
        failure: SHOWN_AGAIN,
        success: LET_IN,
        ..FORM
    },
    Profile {
        app: "mediawiki",
        fits: |place| place.ends("/index.php") && place.asks_like("title=", "userlogin"),
        failure: SHOWN_AGAIN,
        success: LET_IN,
        ..FORM
    },
    Profile {
        app: "moodle",
        fits: |place| place.ends("/login/index.php"),
        failure: REFUSED,
        ..FORM
    },
    Profile {
        app: "roundcube",
        fits: |place| place.asks("_task=login"),
        failure: SHOWN_AGAIN,
        success: LET_IN,
        ..FORM
    },
    Profile {
        app: "j_security_check",
        fits: |place| place.ends("/j_security_check"),
        failure: &[200, 401, 403, 408, 429],
        success: LET_IN,
        ..FORM
    },
    Profile {
        app: "generic-api",
        fits: |place| place.is_api(),
        method: AuthMethod::Rest,
        confidence: Confidence::Low,
        failure: &[400, 401, 403, 422, 429],
        success: &[200, 201, 204],
        ..FORM
    },
    Profile {
        app: "generic-form",
        fits: |place| place.is_form(),
        confidence: Confidence::Low,
        failure: REFUSED,
        ..FORM
    },
];

/// Last segments of the paths of forms, without their extension.
const FORMS: &[&[u8]] = &[
    b"login",
    b"log-in",
    b"log_in",
    b"signin",
    b"sign-in",
    b"sign_in",
    b"logon",
    b"anmelden",
    b"anmeldung",
    b"connexion",
    b"session",
    b"sessions",
    b"authenticate",
];

/// Extensions that a form may have.
const FORM_EXTENSIONS: &[&[u8]] =
    &[b"php", b"asp", b"aspx", b"jsp", b"do", b"html", b"htm", b"cgi", b"action"];

/// Last segments of paths that end a session, lower-cased, without their extension.
const LOGOUTS: &[&[u8]] = &[
    b"logout",
    b"log-out",
    b"logoff",
    b"signout",
    b"sign-out",
    b"sign_out",
    b"abmelden",
    b"deconnexion",
];

/// Longest of [`LOGOUTS`] with an extension and a slash behind it: `deconnexion.aspx/`.
const LOGOUT_BYTES_MAX: usize = 17;

/// Applications that are told by their name only.
pub(super) fn named_apps() -> impl Iterator<Item = &'static str> {
    PROFILES.iter().filter(|profile| profile.named).map(|profile| profile.app)
}

/// What was asked for, as applications understand it: percent-decoded, lower-cased, without
/// repeated slashes and the one at the end.
struct Place<'q> {
    path: Vec<u8>,
    query: &'q [u8],
}

impl<'q> Place<'q> {
    fn of(path: &[u8], query: &'q [u8]) -> Self {
        let mut plain = Vec::with_capacity(path.len());
        let mut rest = path;
        while let [first, tail @ ..] = rest {
            let (byte, tail) = match rest {
                [b'%', high, low, tail @ ..] => match (hex(*high), hex(*low)) {
                    (Some(high), Some(low)) => (high << 4 | low, tail),
                    _ => (b'%', &rest[1..]),
                },
                _ => (*first, tail),
            };
            if byte != b'/' || plain.last() != Some(&b'/') {
                plain.push(byte.to_ascii_lowercase());
            }
            rest = tail;
        }
        if plain.len() > 1 && plain.ends_with(b"/") {
            plain.pop();
        }
        Self { path: plain, query }
    }

    fn ends(&self, end: &str) -> bool {
        self.path.ends_with(end.as_bytes())
    }

    fn contains(&self, part: &str) -> bool {
        memchr::memmem::find(&self.path, part.as_bytes()).is_some()
    }

    /// Segments of the path.
    fn segments(&self) -> usize {
        memchr::memchr_iter(b'/', &self.path).count()
    }

    fn last(&self) -> &[u8] {
        let slash = memchr::memrchr(b'/', &self.path).map_or(0, |at| at + 1);
        &self.path[slash..]
    }

    /// One of the parameters is `pair`.
    fn asks(&self, pair: &str) -> bool {
        self.parameters().any(|one| one.eq_ignore_ascii_case(pair.as_bytes()))
    }

    /// One of the parameters begins with `start` and holds `part` behind it, lower-cased.
    fn asks_like(&self, start: &str, part: &str) -> bool {
        self.parameters().any(|one| {
            let one = one.to_ascii_lowercase();
            one.starts_with(start.as_bytes())
                && memchr::memmem::find(&one, part.as_bytes()).is_some()
        })
    }

    fn has_action(&self, names: &[&str]) -> bool {
        let action = self.parameters().find_map(|one| one.strip_prefix(b"action="));
        action.is_some_and(|action| names.iter().any(|name| name.as_bytes() == action))
    }

    fn parameters(&self) -> impl Iterator<Item = &'q [u8]> {
        self.query.split(|byte| *byte == b'&')
    }

    /// `/api/…/login`, `/v1/tokens`, `/rest/session`.
    fn is_api(&self) -> bool {
        let last = self.last();
        let last = last.strip_suffix(b"s").unwrap_or(last);
        let names_it = ["login", "signin", "sign-in", "auth", "authenticate", "token", "session"]
            .iter()
            .any(|name| last.ends_with(name.as_bytes()));
        let mut before = self.path[..self.path.len() - self.last().len()].split(|b| *b == b'/');
        names_it
            && before.any(|segment| match segment {
                b"api" | b"rest" => true,
                [b'v', digits @ ..] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
                _ => false,
            })
    }

    fn is_form(&self) -> bool {
        let last = self.last();
        let (stem, extension) = match memchr::memchr(b'.', last) {
            Some(dot) => (&last[..dot], Some(&last[dot + 1..])),
            None => (last, None),
        };
        FORMS.contains(&stem) && extension.is_none_or(|text| FORM_EXTENSIONS.contains(&text))
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Sets the verdict of the open row, if it is a log-in, and what a name in it proves.
pub(super) fn classify(logins: &Logins, raw: &[u8], out: &mut Writer<'_>) {
    // The line told it itself: credentials that nothing else shows.
    if out.row.auth.is_some() {
        return;
    }
    let status = out.row.status;
    let challenged = matches!(status, 401 | 407);
    if !challenged && status < 400 && is_logout(raw, out) {
        out.row.action = Action::Logout;
        return;
    }
    let posted = out.field(raw, Field::Method) == Some(b"POST");
    let named = out.has(Field::User);
    if posted || challenged || named || !logins.pages.is_empty() {
        if let Some((auth, app)) = verdict(logins, raw, out, posted) {
            if auth.outcome != AuthOutcome::Challenge {
                out.row.action = Action::Login;
            }
            out.row.auth = Some(auth);
            out.row.login_app = app;
        }
        out.row.grade = grade(logins, raw, out);
    }
}

fn verdict(
    logins: &Logins,
    raw: &[u8],
    out: &Writer<'_>,
    posted: bool,
) -> Option<(Auth, &'static str)> {
    let status = out.row.status;
    let challenged = matches!(status, 401 | 407);
    let named = out.has(Field::User);
    let on_iis = challenged && out.has(Field::IisSubstatus);
    if on_iis && let Some(verdict) = iis(raw, out) {
        return Some((verdict, ""));
    }
    if challenged && !on_iis && (named || out.row.empty_user) {
        // Measured on nginx and Apache: a wrong password and an unknown user look the same.
        return Some((failure(Reason::BadCredentials, AuthMethod::Basic, Confidence::High), ""));
    }
    let path = out.field(raw, Field::Path).unwrap_or_default();
    if let Some(page) = logins.pages.iter().find(|page| page.fits(path, raw, out)) {
        let ended = ended(AuthMethod::Form, Confidence::High, &page.failure, &page.success, status);
        return Some((ended, "site"));
    }
    if posted || (named && memchr::memmem::find(path, b"/wp-json/").is_some()) {
        let place = Place::of(path, out.field(raw, Field::Query).unwrap_or_default());
        let fits = |profile: &&Profile| {
            let asked = if profile.any_method { named } else { posted };
            let is_there = !profile.named || logins.apps.iter().any(|app| app == profile.app);
            asked && is_there && (profile.fits)(&place)
        };
        if let Some(profile) = PROFILES.iter().find(fits) {
            let Profile { method, confidence, failure, success, .. } = *profile;
            return Some((ended(method, confidence, failure, success, status), profile.app));
        }
    }
    (challenged && !(on_iis && named)).then(|| (challenge(), ""))
}

impl LoginPage {
    fn fits(&self, path: &[u8], raw: &[u8], out: &Writer<'_>) -> bool {
        path == self.path.as_bytes()
            && out.field(raw, Field::Method) == Some(self.method.as_bytes())
            && self.site.as_deref().is_none_or(|site| {
                out.field(raw, Field::Domain).is_some_and(|domain| domain == site.as_bytes())
            })
    }
}

/// What the event proves about the user it names.
fn grade(logins: &Logins, raw: &[u8], out: &Writer<'_>) -> Option<Grade> {
    let named = out.has(Field::User);
    match out.row.auth.map(|auth| auth.outcome) {
        // A name that came with the request need not be whose password the form took.
        Some(AuthOutcome::Success) if named && out.row.served_user => return Some(Grade::B),
        Some(AuthOutcome::Attempt) => return Some(Grade::D),
        Some(AuthOutcome::Success) | None => (),
        Some(_) => return None,
    }
    if !named || out.row.status == 0 || 400 <= out.row.status {
        return None;
    }
    let path = out.field(raw, Field::Path).unwrap_or_default();
    let is_protected = logins.protected.iter().any(|entry| lies_below(path, entry.as_bytes()));
    // Measured: nginx logs the name that was sent wherever it was sent, the others one they checked.
    // Of a shape that both write nobody knows which of them wrote it.
    let is_checked = match out.row.module {
        Module::Caddy | Module::Iis => true,
        Module::Apache => out.row.format.starts_with("apache:"),
        _ => false,
    };
    Some(if is_protected || is_checked { Grade::A } else { Grade::C })
}

/// `path` is `entry` or lies below it. A path that climbs (`..`) may lie elsewhere, and what has no
/// slash at its end is no part of `/members/`: nginx sends whoever asks for it there, unchecked.
fn lies_below(path: &[u8], entry: &[u8]) -> bool {
    let climbs = memchr::memmem::find(path, b"..").is_some() || path.contains(&b'%');
    let is_folder = entry.ends_with(b"/");
    let inside = |rest: &[u8]| is_folder || rest.is_empty() || rest[0] == b'/';
    path.strip_prefix(entry).is_some_and(inside) && !climbs
}

/// What IIS says about a refusal beyond its status: Windows' own word about the credentials.
fn iis(raw: &[u8], out: &Writer<'_>) -> Option<Auth> {
    let number = |field| out.field(raw, field).and_then(parse_u64);
    match (number(Field::IisSubstatus)?, number(Field::IisWin32Status).unwrap_or_default()) {
        (1, code @ (LOGON_DENIED | LOGON_FAILURE)) => {
            let basic = code == LOGON_FAILURE;
            let method = if basic { AuthMethod::Basic } else { AuthMethod::Other };
            Some(failure(Reason::BadCredentials, method, Confidence::High))
        }
        // A leg of NTLM's dialogue, and the answer to a request without credentials.
        (1 | 2, _) => Some(challenge()),
        // The resource is not for that user, or the application has its own reasons.
        _ => None,
    }
}

/// `SEC_E_LOGON_DENIED`, from NTLM and Negotiate.
const LOGON_DENIED: u64 = 0x8009_030C;

/// `ERROR_LOGON_FAILURE`, from Basic.
const LOGON_FAILURE: u64 = 1326;

/// The request ends a session: asked for each request, so a path is refused by its end.
fn is_logout(raw: &[u8], out: &Writer<'_>) -> bool {
    let Some(path) = out.field(raw, Field::Path) else { return false };
    let tail = &path[path.len().saturating_sub(LOGOUT_BYTES_MAX + 1)..];
    let tail = tail.strip_suffix(b"/").unwrap_or(tail);
    let Some(slash) = memchr::memrchr(b'/', tail) else { return false };
    let name = &tail[slash + 1..];
    if name.len() < 6 {
        return false;
    }
    let stem = &name[..memchr::memchr(b'.', name).unwrap_or(name.len())];
    LOGOUTS.iter().any(|known| stem.eq_ignore_ascii_case(known))
        || (name.eq_ignore_ascii_case(b"wp-login.php")
            && out.field(raw, Field::Query).is_some_and(|query| has_action(query, b"logout")))
}

/// One of the parameters is `action=name`.
fn has_action(query: &[u8], name: &[u8]) -> bool {
    query.split(|byte| *byte == b'&').any(|pair| pair.strip_prefix(b"action=") == Some(name))
}

/// How a request to a log-in page ended, as its status tells.
fn ended(
    method: AuthMethod,
    confidence: Confidence,
    refused: &[u16],
    let_in: &[u16],
    status: u16,
) -> Auth {
    if refused.contains(&status) {
        let reason = match status {
            403 | 503 => Reason::Policy,
            429 => Reason::TooManyAttempts,
            _ => Reason::BadCredentials,
        };
        return failure(reason, method, confidence);
    }
    let success = let_in.contains(&status);
    let outcome = if success { AuthOutcome::Success } else { AuthOutcome::Attempt };
    Auth { outcome, reason: None, method, confidence, counted: false }
}

fn failure(reason: Reason, method: AuthMethod, confidence: Confidence) -> Auth {
    let reason = Some(reason);
    Auth { outcome: AuthOutcome::Failure, reason, method, confidence, counted: true }
}

fn challenge() -> Auth {
    let auth = failure(Reason::BadCredentials, AuthMethod::Basic, Confidence::High);
    Auth { outcome: AuthOutcome::Challenge, reason: None, counted: false, ..auth }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::batch::EventBatch;
    use crate::engine::request::split_target;

    fn logins() -> Logins {
        Logins {
            protected: vec!["/members/".to_owned()],
            apps: vec!["grafana".to_owned()],
            pages: vec![LoginPage {
                site: Some("www.example.org".to_owned()),
                path: "/enter".to_owned(),
                method: "GET".to_owned(),
                failure: vec![418],
                success: vec![204],
            }],
            ..Logins::default()
        }
    }

    /// `METHOD target status [user]` as `outcome reason app grade`.
    fn judged(module: Module, request: &str) -> String {
        let mut words = request.split(' ');
        let mut word = || words.next().expect("three words");
        let (method, target, status) = (word(), word(), word());
        let mut batch = EventBatch::default();
        batch.refill(Arc::default(), target.as_bytes().to_vec());
        let (raw, mut out) = batch.open();
        split_target(raw, &mut out);
        out.set(Field::Method, method.as_bytes());
        out.set(Field::Domain, b"www.example.org");
        if let Some(user) = words.next() {
            out.set(Field::User, user.as_bytes());
        }
        out.row.module = module;
        out.row.format = if module == Module::Apache { "apache:custom" } else { "" };
        out.row.status = status.parse().expect("a status");
        classify(&logins(), raw, &mut out);
        let row = &out.row;
        let auth = row.auth.map_or("-", |auth| auth.outcome.name());
        let reason = row.auth.and_then(|auth| auth.reason).map_or("-", Reason::name);
        let app = if row.login_app.is_empty() { "-" } else { row.login_app };
        format!("{auth} {reason} {app} {}", row.grade.map_or("-", Grade::name))
    }

    #[track_caller]
    fn check(request: &str, expected: &str) {
        assert_eq!(expected, judged(Module::Nginx, request), "{request}");
    }

    #[test]
    fn pages_of_applications_are_known_with_what_their_answers_mean() {
        for (request, expected) in [
            ("POST /wp-login.php 200", "failure bad_credentials wordpress -"),
            ("POST /blog//WP-login.php?redirect=x 302", "success - wordpress -"),
            ("POST /wp-login.php 503", "failure policy wordpress -"),
            ("POST /wp-login.php?action=lostpassword 200", "- - - -"),
            ("POST /xmlrpc.php 200", "attempt - wordpress-xmlrpc D"),
            ("GET /wp-json/wp/v2/users/me 401 bob", "failure bad_credentials - -"),
            ("GET /wp-json/wp/v2/users/me 200 bob", "success - wordpress-rest C"),
            ("GET /wp-json/wp/v2/posts 200", "- - - -"),
            ("POST /de/user/login 200", "failure bad_credentials drupal -"),
            ("POST /user/login 303", "success - drupal -"),
            ("POST /administrator/index.php 303", "attempt - joomla D"),
            ("POST /index.php?option=x&task=user.login 303", "attempt - joomla D"),
            ("POST /admin/login/?next=/ 200", "failure bad_credentials django -"),
            ("POST /users/sign_in 422", "failure bad_credentials rails-devise -"),
            ("POST /Identity/Account/Login 302", "success - aspnet -"),
            (
                "POST /auth/realms/x/login-actions/authenticate?code=1 200",
                "failure bad_credentials keycloak -",
            ),
            ("POST /oauth2/token 400", "failure bad_credentials oauth-token -"),
            ("POST /login 401", "failure bad_credentials grafana -"),
            ("POST /phpMyAdmin/index.php 200", "failure bad_credentials phpmyadmin -"),
            ("POST /w/index.php?title=Special:UserLogin 302", "success - mediawiki -"),
            ("POST /login/index.php 303", "attempt - moodle D"),
            ("POST /mail/?_task=login 401", "failure bad_credentials roundcube -"),
            ("POST /app/j_security_check 408", "failure bad_credentials j_security_check -"),
            ("POST /api/v2/login 422", "failure bad_credentials generic-api -"),
            ("POST /v1/tokens 201", "success - generic-api -"),
            ("POST /tokens 401", "challenge - - -"),
            ("POST /signin.php 429", "failure too_many_attempts generic-form -"),
            ("POST /anmelden/ 302", "attempt - generic-form D"),
            ("POST /%6Cogin.aspx 403", "failure policy generic-form -"),
            ("GET /login 200", "- - - -"),
            ("POST /loginx 403", "- - - -"),
        ] {
            check(request, expected);
        }
    }

    #[test]
    fn a_page_of_the_operator_comes_first() {
        check("GET /enter 418", "failure bad_credentials site -");
        check("GET /enter 204 bob", "success - site C");
        check("POST /enter 418", "- - - -");
    }

    #[test]
    fn iis_tells_a_refusal_from_a_leg_of_the_dialogue() {
        for (substatus, win32, user, expected) in [
            ("1", "2148074252", "CORP\\anna", "failure"),
            ("1", "1326", "bob", "failure"),
            ("1", "1326", "", "failure"),
            ("1", "2148074254", "", "challenge"),
            ("1", "2148074254", "bob", "challenge"),
            ("1", "0", "bob", "challenge"),
            ("2", "5", "", "challenge"),
            ("2", "1326", "", "challenge"),
            // Who is known already is refused for another reason.
            ("3", "5", "bob", "-"),
            ("3", "5", "", "challenge"),
            ("0", "0", "bob", "-"),
        ] {
            let mut batch = EventBatch::default();
            let (raw, mut out) = batch.open();
            out.set(Field::IisSubstatus, substatus.as_bytes());
            out.set(Field::IisWin32Status, win32.as_bytes());
            if !user.is_empty() {
                out.set(Field::User, user.as_bytes());
            }
            (out.row.module, out.row.status) = (Module::Iis, 401);
            classify(&logins(), raw, &mut out);
            let auth = out.row.auth;
            let outcome = auth.map_or("-", |auth| auth.outcome.name());
            assert_eq!(expected, outcome, "401.{substatus} {win32} {user}");
            assert_eq!(expected == "failure", auth.is_some_and(|auth| auth.counted));
        }
    }

    #[test]
    fn a_name_proves_something_only_where_it_was_asked_for() {
        check("GET / 200 alice", "- - - C");
        check("GET /members/list 200 alice", "- - - A");
        // Measured: nginx redirects this one without asking for a password.
        check("GET /members 301 alice", "- - - C");
        check("GET /membership 200 alice", "- - - C");
        check("GET /members/../ 200 alice", "- - - C");
        check("GET /members/%2e%2e/ 200 alice", "- - - C");
        check("GET /members/ 404 alice", "- - - -");
        check("GET /members/ 401 alice", "failure bad_credentials - -");
        for module in [Module::Apache, Module::Caddy, Module::Iis] {
            assert_eq!("- - - A", judged(module, "GET / 200 alice"));
        }
    }
}
