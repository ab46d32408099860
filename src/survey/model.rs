//! What a survey finds on a machine, in words that hold for every server.

use std::fmt;
use std::path::PathBuf;

/// A line of a configuration file.
#[derive(Clone, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub struct Place {
    /// The file on this machine.
    pub file: PathBuf,
    /// Its line, from 1; 0 where the whole file is meant.
    pub line: usize,
}

impl fmt::Display for Place {
    /// `FILE:LINE`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file.display()),
            line => write!(f, "{}:{line}", self.file.display()),
        }
    }
}

/// Who writes a log.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Server {
    /// nginx.
    Nginx,
    /// Apache httpd.
    Apache,
    /// Caddy.
    Caddy,
    /// sshd, sudo and the other programs that let people in.
    System,
}

impl Server {
    /// The name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Apache => "Apache",
            Self::Caddy => "Caddy",
            Self::System => "log-ins of this machine",
        }
    }
}

/// What a log tells.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum LogKind {
    /// Requests.
    Access,
    /// Errors, among them refused passwords.
    Error,
    /// Log-ins over ssh, sudo and su.
    Login,
}

/// The format of a log, as our configuration names it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Shape {
    /// Found out from the lines.
    #[default]
    Auto,
    /// A format of the table.
    Named(&'static str),
    /// The server's own definition.
    Written(String),
}

/// What the server's configuration says about a format.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Layout {
    /// How we name it.
    pub shape: Shape,
    /// How the server names it; empty where it is written out at the log itself.
    pub name: String,
    /// The definition as the server understands it, quotes and escapes undone.
    pub text: String,
    /// What nginx's `escape=` says; empty where it says nothing.
    pub escape: String,
    /// Where it is defined; `None` for what is built in.
    pub place: Option<Place>,
    /// Why it cannot be used, if so.
    pub complaint: Option<String>,
}

/// A log file, or a pattern of several.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Log {
    /// Who writes it.
    pub server: Server,
    /// What it tells.
    pub kind: LogKind,
    /// File or pattern, on this machine.
    pub path: String,
    /// Its format.
    pub layout: Layout,
    /// Where the configuration names it; empty for what is built in.
    pub places: Vec<Place>,
    /// Names of the sites that write to it; an empty text for one without a name.
    pub sites: Vec<String>,
    /// Only lines that fit this condition are written.
    pub filter: Option<String>,
    /// Another place gives it another format.
    pub is_mixed: bool,
}

/// A place where a log would be and is none that can be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Gap {
    /// Who would write it.
    pub server: Server,
    /// What it would tell.
    pub kind: LogKind,
    /// Site and location.
    pub about: String,
    /// A location that asks for a password, or a whole site: not just a favicon.
    pub matters: bool,
    /// Why there is nothing to read.
    pub reason: GapReason,
    /// Where the configuration says so.
    pub place: Place,
}

/// Why there is no file to read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum GapReason {
    /// Switched off.
    Off,
    /// Never switched on.
    Missing,
    /// Sent to syslog.
    Syslog(String),
    /// Written to a program.
    Program(String),
    /// Written to the standard output or error of the server.
    Stream(String),
    /// Compressed while it is written.
    Compressed(String),
}

/// A virtual host.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Site {
    /// Its names, without placeholders such as `_`.
    pub names: Vec<String>,
    /// Where it begins.
    pub place: Place,
    /// Parts of it that ask for a password.
    pub protected: Vec<(String, Place)>,
    /// Paths where a name with a success was surely checked: below them nothing is served without
    /// a password.
    pub checked: Vec<String>,
    /// Backends that requests are passed on to.
    pub backends: Vec<(String, Place)>,
    /// It speaks TLS itself.
    pub tls: bool,
}

impl Site {
    /// Its first name, or nothing.
    pub fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }
}

/// Whose word about the client the server takes.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Proxies {
    /// The header that names the client, or `proxy_protocol`.
    pub header: Option<(String, Place)>,
    /// The proxies that are believed: addresses and networks as written.
    pub trusted: Vec<(String, Place)>,
    /// Where a balancer speaks the PROXY protocol to the server.
    pub proxy_protocol: Option<Place>,
}

/// What one server's configuration says.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Which server.
    pub server: Server,
    /// The main file.
    pub main: PathBuf,
    /// Files read.
    pub files: usize,
    /// Logs that can be read, by kind and path.
    pub logs: Vec<Log>,
    /// Logs that cannot.
    pub gaps: Vec<Gap>,
    /// Virtual hosts.
    pub sites: Vec<Site>,
    /// Proxies in front of it.
    pub proxies: Proxies,
    /// What could not be read or understood.
    pub troubles: Vec<Trouble>,
}

impl ServerConfig {
    /// Nothing known but where it stands.
    pub fn new(server: Server, main: PathBuf) -> Self {
        Self {
            server,
            main,
            files: 0,
            logs: Vec::new(),
            gaps: Vec::new(),
            sites: Vec::new(),
            proxies: Proxies::default(),
            troubles: Vec::new(),
        }
    }

    /// Adds a log, or what is new about one that is known.
    pub fn add(&mut self, log: Log) {
        let known =
            self.logs.iter_mut().find(|known| known.path == log.path && known.kind == log.kind);
        let Some(known) = known else {
            self.logs.push(log);
            return;
        };
        if known.layout.shape != log.layout.shape {
            known.is_mixed = true;
            known.layout.shape = Shape::Auto;
        }
        for place in log.places {
            if !known.places.contains(&place) {
                known.places.push(place);
            }
        }
        for site in log.sites {
            if !known.sites.contains(&site) {
                known.sites.push(site);
            }
        }
        if known.filter != log.filter {
            known.filter = None;
        }
    }
}

/// Something that could not be read or understood; the rest still counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Trouble {
    /// Where.
    pub place: Place,
    /// What.
    pub text: String,
}
