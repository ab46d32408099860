//! What a machine logs: read from the configuration of its web servers, of logrotate, and from the
//! logs themselves; a configuration of ours comes out.
//!
//! ```text
//!  nginx · Apache · Caddy ─▶ ServerConfig ─┐
//!  logrotate ─▶ Rotation ──────────────────┼─▶ Survey ─▶ findings ─▶ people
//!  accounts, modes ─▶ Obstacle ────────────┤         └─▶ config ──▶ gatewatch.toml
//!  the newest lines ─▶ Sample ─────────────┘
//! ```
//!
//! Invariants: nothing is written and nothing is started; every text parser (`blocks`, `sections`,
//! `logrotate`) is pure and reads whatever bytes there are; what cannot be read is told and the
//! rest is used.

mod apache;
mod blocks;
mod caddy;
pub mod config;
pub mod findings;
pub mod layout;
mod logrotate;
pub mod model;
mod nginx;
pub mod rights;
pub mod sample;
mod sections;
mod tree;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use jiff::tz::TimeZone;

pub use tree::escaped;

use crate::source::glob::{Listings, Pattern};
use crate::units::Timestamp;
use findings::Finding;
use layout::{Circumstances, Missing};
use logrotate::Rotation;
use model::{Layout, Log, LogKind, Place, Server, ServerConfig, Shape};
use rights::{Accounts, Obstacle, Reader};
use sample::Sample;
use tree::Tree;

/// Logs of log-ins, on Debian and on Red Hat.
const LOGIN_LOGS: &[&str] = &["/var/log/auth.log", "/var/log/secure"];

/// Where a journal is kept.
const JOURNALS: &[&str] = &["/var/log/journal", "/run/log/journal", "/run/systemd/journal"];

/// Where to look.
#[derive(Clone, Debug)]
pub struct Options {
    /// Every path begins here: `/`, or where another machine's disk is.
    pub root: PathBuf,
    /// The server's main file, as it is called below the root; the usual places otherwise.
    pub from: Option<String>,
    /// Zone of times without one.
    pub zone: TimeZone,
    /// The present moment.
    pub now: Timestamp,
}

/// A log, and what its file says.
#[derive(Clone, Debug)]
pub struct Watched {
    /// As the configuration has it.
    pub log: Log,
    /// Files there are now.
    pub files: Vec<PathBuf>,
    /// How it is rotated.
    pub rotation: Option<Rotation>,
    /// What keeps the reader away.
    pub obstacle: Option<Obstacle>,
    /// Its newest lines.
    pub sample: Option<Sample>,
    /// What its format leaves out.
    pub missing: Vec<Missing>,
    /// What is around it.
    pub around: Circumstances,
}

impl Watched {
    /// The format to configure: as written, unless the lines say that it is another one.
    pub fn shape(&self) -> Shape {
        match &self.sample {
            Some(sample) if sample.read == 0 && sample.better.is_some() => Shape::Auto,
            _ => self.log.layout.shape.clone(),
        }
    }

    /// Names of the sites that write to it.
    pub fn names(&self) -> Vec<&str> {
        let names = self.log.sites.iter().map(String::as_str);
        names.filter(|name| !name.is_empty()).collect()
    }
}

/// All that was found.
#[derive(Debug)]
pub struct Survey {
    /// Every path begins here.
    pub root: PathBuf,
    /// The servers found.
    pub servers: Vec<ServerConfig>,
    /// Their logs, and those of log-ins.
    pub logs: Vec<Watched>,
    /// logrotate is set up.
    pub has_logrotate: bool,
    /// There is a journal and no log of log-ins.
    pub only_journal: bool,
    /// Who will read.
    pub reader: Reader,
    /// What to know and do, the most dangerous first.
    pub findings: Vec<Finding>,
}

impl Survey {
    /// Looks at the machine.
    pub fn of(options: &Options) -> Self {
        let root = &options.root;
        let servers = servers(options);
        let mut tree = Tree::new(root);
        let rotations = logrotate::survey(&mut tree);
        let accounts = Accounts::read(&mut tree);
        let reader = accounts.reader();
        let mut logs: Vec<Watched> = Vec::new();
        for server in &servers {
            for log in &server.logs {
                logs.push(watch(log, server, rotations.as_deref(), &tree));
            }
        }
        let logins: Vec<Watched> = logins(rotations.as_deref(), &tree);
        let has_journal = JOURNALS.iter().any(|path| tree.has_directory(path));
        let only_journal = logins.is_empty() && has_journal;
        logs.extend(logins);
        for watched in &mut logs {
            watched.look(options, &reader, &accounts);
        }
        for server in &servers {
            for watched in logs.iter_mut().filter(|one| one.log.server == server.server) {
                watched.weigh(server);
            }
        }
        let has_logrotate = rotations.is_some();
        let root = root.clone();
        let findings = Vec::new();
        let mut survey =
            Self { root, servers, logs, has_logrotate, only_journal, reader, findings };
        survey.findings = findings::of(&survey, &accounts);
        survey
    }

    /// Nothing to watch was found.
    pub fn is_empty(&self) -> bool {
        self.logs.is_empty()
    }

    /// Paths where nginx checks every name, and whether each of its sites does: elsewhere it logs
    /// whatever name a client claims.
    pub fn checked_paths(&self) -> Vec<(String, bool)> {
        let nginx = self.servers.iter().find(|server| server.server == Server::Nginx);
        let sites = nginx.map_or(&[][..], |server| server.sites.as_slice());
        let paths: BTreeSet<&String> = sites.iter().flat_map(|site| &site.checked).collect();
        let everywhere = |path: &String| {
            let covers = |known: &String| path.starts_with(known.as_str());
            sites.iter().all(|site| site.checked.iter().any(covers))
        };
        paths.into_iter().map(|path| (path.clone(), everywhere(path))).collect()
    }

    /// Proxies that the servers trust and that can be trusted: networks, with where they stand.
    pub fn trusted_proxies(&self) -> Vec<(IpNet, Place)> {
        let mut nets: Vec<(IpNet, Place)> = Vec::new();
        let named = self.servers.iter().flat_map(|server| &server.proxies.trusted);
        for (text, place) in named {
            if let Some(net) = network(text)
                && net.prefix_len() != 0
                && !nets.iter().any(|(known, _)| *known == net)
            {
                nets.push((net, place.clone()));
            }
        }
        nets
    }
}

/// `192.0.2.0/24`, `192.0.2.7`, `2001:db8::/32`, and Apache's `192.0.2.0/255.255.255.0`.
pub fn network(text: &str) -> Option<IpNet> {
    if let Ok(net) = text.parse::<IpNet>() {
        return Some(net.trunc());
    }
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        return Some(IpNet::from(address));
    }
    let (address, mask) = text.split_once('/')?;
    IpNet::with_netmask(address.parse().ok()?, mask.parse().ok()?).ok().map(|net| net.trunc())
}

/// The servers that are set up, or the one that was named.
fn servers(options: &Options) -> Vec<ServerConfig> {
    let tree = || Tree::new(&options.root);
    if let Some(from) = &options.from {
        let mut files = tree();
        let place = Place::default();
        let text = files.read(from, &place).unwrap_or_default();
        return vec![match server_of(from, &text) {
            Server::Caddy => caddy::survey(from, &mut tree()),
            Server::Apache => apache::survey(from, &mut tree()),
            Server::Nginx | Server::System => nginx::survey(from, &mut tree()),
        }];
    }
    let mut servers = Vec::new();
    type Look = fn(&str, &mut Tree) -> ServerConfig;
    let kinds: [(&[&str], Look); 3] = [
        (nginx::USUAL, nginx::survey),
        (apache::USUAL, apache::survey),
        (caddy::USUAL, caddy::survey),
    ];
    for (usual, survey) in kinds {
        let mut files = tree();
        if let Some(main) = usual.iter().find(|path| files.has(path)) {
            servers.push(survey(main, &mut files));
        }
    }
    servers
}

/// Whose configuration a file is, by its name or else by its first words.
fn server_of(path: &str, text: &[u8]) -> Server {
    let name = path.rsplit('/').next().unwrap_or_default();
    if name.starts_with("Caddyfile") || name.ends_with(".caddy") {
        return Server::Caddy;
    }
    let is_block = |line: &str| {
        let line = line.trim();
        ["http", "events", "server", "stream"].iter().any(|block| {
            line.strip_prefix(block).is_some_and(|rest| rest.trim_start().starts_with('{'))
        })
    };
    let text = String::from_utf8_lossy(text);
    if name == "nginx.conf" || text.lines().any(is_block) { Server::Nginx } else { Server::Apache }
}

/// A log with its files and rotation.
fn watch(log: &Log, server: &ServerConfig, rotations: Option<&[Rotation]>, tree: &Tree) -> Watched {
    let files = match Pattern::new(&log.path) {
        Ok(pattern) => pattern.walk(&mut Listings::default()),
        Err(_) => Vec::new(),
    };
    let files: Vec<PathBuf> = files.into_iter().filter(|file| file.exists()).collect();
    let first = files.first().map_or_else(|| PathBuf::from(&log.path), Clone::clone);
    let called = tree.named(&first);
    let rotation = rotations.and_then(|all| all.iter().find(|one| one.covers(&called))).cloned();
    let writes = |site: &&model::Site| log.sites.iter().any(|name| name == site.name());
    let mut around = Circumstances { many_sites: 1 < log.sites.len(), ..Circumstances::default() };
    for site in server.sites.iter().filter(writes) {
        around.tls |= site.tls;
        around.protected |= !site.protected.is_empty();
    }
    let log = log.clone();
    Watched { log, files, rotation, obstacle: None, sample: None, missing: Vec::new(), around }
}

/// The logs of log-ins that are there.
fn logins(rotations: Option<&[Rotation]>, tree: &Tree) -> Vec<Watched> {
    let nobody = ServerConfig::new(Server::System, PathBuf::new());
    let there = LOGIN_LOGS.iter().filter(|path| tree.has(path));
    let log = |path: &&str| {
        let log = Log {
            server: Server::System,
            kind: LogKind::Login,
            path: escaped(&tree.here(path).to_string_lossy()),
            layout: Layout { shape: Shape::Named("auth"), ..Layout::default() },
            places: Vec::new(),
            sites: Vec::new(),
            filter: None,
            is_mixed: false,
        };
        watch(&log, &nobody, rotations, tree)
    };
    there.map(log).collect()
}

impl Watched {
    /// Looks at its newest file.
    fn look(&mut self, options: &Options, reader: &Reader, accounts: &Accounts) {
        let is_root = options.root == Path::new("/");
        let root = if is_root { Path::new("/") } else { options.root.as_path() };
        self.obstacle = self.files.iter().find_map(|file| reader.obstacle(file, root, accounts));
        let shape = &self.log.layout.shape;
        self.sample = sample::take(&self.files, shape, &options.zone, options.now);
    }

    /// Says what its format leaves out, given what stands around it.
    fn weigh(&mut self, server: &ServerConfig) {
        let crowd = self.sample.as_ref().is_some_and(|sample| sample.crowd.is_some());
        let proxies = &server.proxies;
        let hidden = proxies.proxy_protocol.is_some() || crowd;
        self.around.hidden_clients = hidden && proxies.header.is_none();
        if self.log.kind == LogKind::Access {
            self.missing = layout::missing(&self.log.layout, server.server, self.around);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::source::SourceConfig;

    /// Words of the languages that are read here, and what breaks them.
    const WORDS: &[&str] = &[
        "http {",
        "server {",
        "location /a/ {",
        "}",
        "access_log",
        "error_log",
        "/var/log/a.log",
        "off",
        "log_format x '$remote_addr $status';",
        "x",
        "$host",
        ";",
        "include",
        "*.conf",
        "\"",
        "'",
        "\\",
        "auth_basic a;",
        "server_name a.example.org;",
        "set_real_ip_from 10.0.0.0/8;",
        "crit",
        "\n",
        "<VirtualHost *:80>",
        "</VirtualHost>",
        "CustomLog",
        "\"|rotatelogs /l/a.%Y 5\"",
        "LogFormat",
        "\"%h %t\"",
        "ErrorLog",
        "${A}",
        "Define A b",
        "Include .",
        "<IfModule a>",
        "</IfModule>",
        "RemoteIPHeader X",
        "AuthType Basic",
        "Require valid-user",
        "log {",
        "output file /l/a",
        "import",
        "copytruncate",
        "rotate 0",
        "/var/log/*.log {",
        "postrotate",
        "\u{202e}",
        "\0",
        "#",
        "syslog:a",
    ];

    fn survey(text: &str) -> Survey {
        let folder = tempfile::tempdir().expect("a folder");
        for path in
            ["nginx/nginx.conf", "apache2/apache2.conf", "caddy/Caddyfile", "logrotate.conf"]
        {
            let file = folder.path().join("etc").join(path);
            fs::create_dir_all(file.parent().expect("a folder")).expect("made");
            fs::write(file, text).expect("written");
        }
        let root = folder.path().to_owned();
        Survey::of(&Options { root, from: None, zone: TimeZone::UTC, now: Timestamp::default() })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Whatever the servers are told, what we are told is sound TOML with patterns that compile.
        #[test]
        fn every_configuration_gives_a_sound_one(
            words in proptest::collection::vec(proptest::sample::select(WORDS), 0..60),
            gap in "[ \n]",
        ) {
            let survey = survey(&words.join(&gap));
            let text = config::text(&survey, Path::new("state"));
            let table: toml::Table = toml::from_str(&text).map_err(|error| {
                TestCaseError::fail(format!("{error}\n{text}"))
            })?;
            prop_assert!(table.contains_key("store"));
            for watched in &survey.logs {
                prop_assert_eq!(Ok(()), SourceConfig::new(watched.log.path.clone()).check());
            }
        }
    }

    #[test]
    fn networks_are_read_as_each_server_writes_them() {
        for (text, expected) in [
            ("192.0.2.7", Some("192.0.2.7/32")),
            ("192.0.2.7/24", Some("192.0.2.0/24")),
            ("192.0.2.0/255.255.255.0", Some("192.0.2.0/24")),
            ("2001:db8::/32", Some("2001:db8::/32")),
            ("unix:", None),
            ("proxy.example.org", None),
        ] {
            assert_eq!(expected, network(text).map(|net| net.to_string()).as_deref(), "{text}");
        }
    }
}
