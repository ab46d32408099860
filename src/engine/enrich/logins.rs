//! `[logins]`: what the operator says about the log-ins of their sites.

use serde::Deserialize;

use super::login::named_apps;
use crate::units::Period;

/// `[logins]`: how log-ins of these sites are told.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct Logins {
    /// Paths that ask for a name and a password (nginx `auth_basic`), such as `/members/`: a name
    /// with an answer below 400 there was let in. An entry holds for what lies below it.
    pub protected: Vec<String>,
    /// Applications whose log-in page is told by their name only, because others use the same
    /// path: `gitea`, `grafana`, `laravel`, `nextcloud`.
    pub apps: Vec<String>,
    /// Pages that the table does not know.
    pub pages: Vec<LoginPage>,
    /// With HTTP Basic and its like each request is checked: the first one of a user after a pause
    /// of more than this is the log-in.
    pub session_gap: Period,
}

/// The longest `session_gap`: lines stay in the store as long.
const SESSION_GAP_MAX: Period = Period::from_secs(86_400);

impl Default for Logins {
    fn default() -> Self {
        let session_gap = Period::from_secs(1800);
        Self { protected: Vec::new(), apps: Vec::new(), pages: Vec::new(), session_gap }
    }
}

/// `[[logins.pages]]`: a page to which names and passwords are sent.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct LoginPage {
    /// The site, as in the events; any if it is left out.
    #[serde(default)]
    pub site: Option<String>,
    /// The path, without its query.
    pub path: String,
    /// The method of the request.
    #[serde(default = "post")]
    pub method: String,
    /// Statuses that mean refused.
    pub failure: Vec<u16>,
    /// Statuses that mean let in.
    #[serde(default)]
    pub success: Vec<u16>,
}

fn post() -> String {
    "POST".to_owned()
}

impl Logins {
    /// What is wrong with the settings: the key and the reason.
    pub fn complaint(&self) -> Option<(&'static str, String)> {
        if let Some(app) = self.apps.iter().find(|app| !named_apps().any(|name| name == *app)) {
            let known: Vec<&str> = named_apps().collect();
            return Some(("apps", format!("`{app}` is none of {}", known.join(", "))));
        }
        let relative = |path: &&String| !path.starts_with('/');
        if let Some(path) = self.protected.iter().find(relative) {
            return Some(("protected", format!("`{path}` does not begin with `/`")));
        }
        if let Some(path) = self.pages.iter().map(|page| &page.path).find(relative) {
            return Some(("pages", format!("the path `{path}` does not begin with `/`")));
        }
        let gap = self.session_gap;
        if gap == Period::from_secs(0) || SESSION_GAP_MAX < gap {
            let reason = format!("`{gap}` is no pause of at most {SESSION_GAP_MAX}");
            return Some(("session_gap", reason));
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_mean_nothing_are_named() {
        assert_eq!(None, Logins::default().complaint());
        let wrong = Logins { apps: vec!["grafan".to_owned()], ..Logins::default() };
        assert_eq!(Some("apps"), wrong.complaint().map(|(key, _)| key));
        let wrong = Logins { protected: vec!["members".to_owned()], ..Logins::default() };
        assert_eq!(Some("protected"), wrong.complaint().map(|(key, _)| key));
        for session_gap in [Period::from_secs(0), Period::from_secs(86_401)] {
            let wrong = Logins { session_gap, ..Logins::default() };
            assert_eq!(Some("session_gap"), wrong.complaint().map(|(key, _)| key));
        }
    }
}
