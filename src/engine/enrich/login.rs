//! Whether a request was a log-in, and how it ended: the first rule that fits decides.
//!
//! A status alone proves little, so each verdict carries how sure it is, and whether it counts:
//! the 401 that opens every Basic dialogue is a challenge, not a failure.

use crate::engine::batch::{
    Action, Auth, AuthMethod, AuthOutcome, Confidence, Field, Reason, Writer,
};

/// An application whose log-in page answers in a known way. The first row that fits decides.
struct Profile {
    /// Ends of the path, lower-cased.
    paths: &'static [&'static str],
    method: AuthMethod,
    confidence: Confidence,
    /// Statuses that mean refused.
    failure: &'static [u16],
    /// Statuses that mean let in.
    success: &'static [u16],
}

const PROFILES: &[Profile] = &[
    Profile {
        paths: &["/wp-login.php"],
        method: AuthMethod::Form,
        confidence: Confidence::Medium,
        failure: &[200, 401, 403, 429],
        success: &[302],
    },
    Profile {
        paths: &["/oauth/token", "/oauth2/token", "/connect/token", "/openid-connect/token"],
        method: AuthMethod::Rest,
        confidence: Confidence::Medium,
        failure: &[400, 401, 403, 429],
        success: &[200],
    },
    Profile {
        paths: &[
            "/api/login",
            "/api/signin",
            "/api/auth",
            "/api/token",
            "/api/session",
            "/api/sessions",
            "/rest/login",
            "/rest/session",
            "/v1/login",
            "/v1/auth",
            "/v1/token",
        ],
        method: AuthMethod::Rest,
        confidence: Confidence::Low,
        failure: &[400, 401, 403, 422, 429],
        success: &[200, 201, 204],
    },
    Profile {
        paths: &[
            "/login",
            "/log-in",
            "/signin",
            "/sign-in",
            "/sign_in",
            "/logon",
            "/login.php",
            "/login.asp",
            "/login.aspx",
            "/login.jsp",
            "/login.do",
            "/login.html",
            "/signin.php",
            "/logon.aspx",
            "/anmelden",
            "/connexion",
            "/session",
            "/sessions",
            "/authenticate",
        ],
        method: AuthMethod::Form,
        confidence: Confidence::Low,
        failure: &[401, 403, 422, 429],
        success: &[],
    },
];

/// Requests of a log-in page that are none, told by their query.
const NOT_A_LOGIN: &[&str] =
    &["action=logout", "action=lostpassword", "action=register", "action=postpass"];

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

/// Sets the verdict of the open row, if it is a log-in.
pub(super) fn classify(raw: &[u8], out: &mut Writer<'_>) {
    let status = out.row.status;
    let posted = out.field(raw, Field::Method) == Some(b"POST");
    let challenged = matches!(status, 401 | 407);
    if !challenged && status < 400 && is_logout(raw, out) {
        out.row.action = Action::Logout;
        return;
    }
    if !posted && !challenged {
        return;
    }
    let auth = if challenged && (out.has(Field::User) || out.row.empty_user) {
        // Measured on nginx and Apache: a wrong password and an unknown user look the same.
        failure(Reason::BadCredentials, AuthMethod::Basic, Confidence::High)
    } else if posted && let Some(profile) = profile_of(raw, out) {
        verdict(profile, status)
    } else if challenged {
        let mut auth = failure(Reason::BadCredentials, AuthMethod::Basic, Confidence::High);
        auth.outcome = AuthOutcome::Challenge;
        auth.reason = None;
        auth.counted = false;
        auth
    } else {
        return;
    };
    if auth.outcome != AuthOutcome::Challenge {
        out.row.action = Action::Login;
    }
    out.row.auth = Some(auth);
}

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

fn verdict(profile: &Profile, status: u16) -> Auth {
    if profile.failure.contains(&status) {
        let reason = match status {
            403 => Reason::Policy,
            429 => Reason::TooManyAttempts,
            _ => Reason::BadCredentials,
        };
        return failure(reason, profile.method, profile.confidence);
    }
    let success = profile.success.contains(&status);
    Auth {
        outcome: if success { AuthOutcome::Success } else { AuthOutcome::Attempt },
        reason: None,
        method: profile.method,
        confidence: profile.confidence,
        counted: false,
    }
}

fn failure(reason: Reason, method: AuthMethod, confidence: Confidence) -> Auth {
    let reason = Some(reason);
    Auth { outcome: AuthOutcome::Failure, reason, method, confidence, counted: true }
}

fn profile_of(raw: &[u8], out: &Writer<'_>) -> Option<&'static Profile> {
    let path = out.field(raw, Field::Path)?;
    let path = path.strip_suffix(b"/").unwrap_or(path);
    if let Some(query) = out.field(raw, Field::Query)
        && NOT_A_LOGIN.iter().any(|text| memchr::memmem::find(query, text.as_bytes()).is_some())
    {
        return None;
    }
    let fits = |end: &&'static str| {
        path.len()
            .checked_sub(end.len())
            .is_some_and(|at| path[at..].eq_ignore_ascii_case(end.as_bytes()))
    };
    PROFILES.iter().find(|profile| profile.paths.iter().any(fits))
}
