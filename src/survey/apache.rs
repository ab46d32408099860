//! Apache httpd: which logs it writes, in which format, for which sites, and behind which proxies.
//!
//! The rules are those of mod_log_config: a virtual host that names a log of its own does not write
//! to those of the main server, except for a `GlobalLog`. Conditions are followed where the files
//! decide them (`<IfModule>`, `<IfDefine>`); what only the running server knows is taken to hold.

use std::collections::{BTreeMap, BTreeSet};

use super::layout;
use super::model::{
    Gap, GapReason, Layout, Log, LogKind, Place, Server, ServerConfig, Shape, Site,
};
use super::sections::{Entry, arguments, parse};
use super::tree::{MAX_INCLUDES, Tree, below, escaped, folder_of};

/// Where the packages of common systems keep the main file.
pub(super) const USUAL: &[&str] = &[
    "/etc/apache2/apache2.conf",
    "/etc/httpd/conf/httpd.conf",
    "/etc/apache2/httpd.conf",
    "/usr/local/apache2/conf/httpd.conf",
    "/usr/local/etc/apache24/httpd.conf",
];

/// Modules that packages compile in, so that no line loads them.
const STATIC: &[&str] =
    &["core", "so", "http", "log_config", "logio", "version", "unixd", "watchdog"];

/// The Common Log Format, which a log without a format has.
const COMMON: &str = r#"%h %l %u %t "%r" %>s %b"#;

/// Reads the configuration that begins in `main`.
pub(super) fn survey(main: &str, tree: &mut Tree) -> ServerConfig {
    let place = Place { file: tree.here(main), line: 0 };
    let folder = folder_of(main);
    let mut walk = Walk {
        config: ServerConfig::new(Server::Apache, place.file.clone()),
        root: folder.strip_suffix("/conf").unwrap_or(folder).to_owned(),
        variables: environment(&format!("{folder}/envvars"), tree),
        modules: STATIC.iter().map(|name| (*name).to_owned()).collect(),
        reading: Vec::new(),
        nicknames: BTreeMap::new(),
        unnamed: None,
        hosts: vec![Host::default()],
        now: 0,
        protected: None,
        tree,
    };
    walk.file(main, &place);
    walk.finish()
}

/// What `export NAME=VALUE` lines of Debian's `envvars` set.
fn environment(path: &str, tree: &mut Tree) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    if !tree.has(path) {
        return variables;
    }
    let place = Place { file: tree.here(path), line: 0 };
    let text = tree.read(path, &place).unwrap_or_default();
    for line in String::from_utf8_lossy(&text).lines() {
        let line = line.trim();
        let Some((name, value)) = line.strip_prefix("export ").unwrap_or(line).split_once('=')
        else {
            continue;
        };
        let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
        if name.is_empty() || !name.chars().all(is_name) {
            continue;
        }
        let value = value.trim().trim_matches(['"', '\'']);
        variables.insert(name.to_owned(), shell_expanded(value, &variables));
    }
    variables
}

/// `$NAME` and `${NAME}` replaced; a name that is not known is empty, as in a shell.
fn shell_expanded(value: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let inner = &rest[at + 1..];
        let (name, after) = match inner.strip_prefix('{') {
            Some(inner) => inner.split_once('}').unwrap_or((inner, "")),
            None => {
                let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
                let end = inner.find(|char| !is_name(char)).unwrap_or(inner.len());
                inner.split_at(end)
            }
        };
        out.push_str(variables.get(name).map_or("", String::as_str));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// A log directive: its arguments, and where it stands.
#[derive(Clone, Debug)]
struct Custom {
    target: String,
    /// The format or its nickname; `None` for `TransferLog`.
    format: Option<String>,
    /// The format without a name that was set before a `TransferLog`.
    unnamed: Option<Layout>,
    condition: Option<String>,
    is_global: bool,
    place: Place,
}

/// The main server, or a virtual host.
#[derive(Clone, Debug, Default)]
struct Host {
    site: Site,
    logs: Vec<Custom>,
    error: Option<(String, Place)>,
    error_format: Option<Place>,
}

struct Walk<'w> {
    config: ServerConfig,
    /// `ServerRoot`.
    root: String,
    variables: BTreeMap<String, String>,
    modules: BTreeSet<String>,
    reading: Vec<String>,
    nicknames: BTreeMap<String, Layout>,
    unnamed: Option<Layout>,
    /// The main server first.
    hosts: Vec<Host>,
    now: usize,
    /// The path of the section that stands around, and whether it asks for a password.
    protected: Option<(String, bool)>,
    tree: &'w mut Tree,
}

impl Walk<'_> {
    fn file(&mut self, path: &str, asked_by: &Place) {
        if MAX_INCLUDES <= self.reading.len() || self.reading.iter().any(|known| known == path) {
            return;
        }
        let Some(text) = self.tree.read(path, asked_by) else { return };
        self.reading.push(path.to_owned());
        self.entries(&parse(&text), path);
        self.reading.pop();
    }

    fn entries(&mut self, entries: &[Entry], path: &str) {
        for entry in entries {
            let place = Place { file: self.tree.here(path), line: entry.line };
            let rest = self.expanded(&entry.rest);
            match &entry.section {
                Some(inside) => self.section(&entry.name, &rest, inside, path, place),
                None => self.directive(&entry.name, &arguments(&rest), place),
            }
        }
    }

    /// `${NAME}` replaced where it is known, as Apache does.
    fn expanded(&self, text: &str) -> String {
        let mut out = text.to_owned();
        let mut from = 0;
        while let Some(at) = out[from..].find("${").map(|at| from + at)
            && let Some(length) = out[at..].find('}')
        {
            let value = self.variables.get(&out[at + 2..at + length]);
            from = match value {
                Some(value) => {
                    let end = at + value.len();
                    out.replace_range(at..=at + length, &value.clone());
                    end
                }
                None => at + length,
            };
        }
        out
    }

    fn section(&mut self, name: &str, rest: &str, inside: &[Entry], path: &str, place: Place) {
        match name {
            "ifmodule" | "ifdefine" => {
                let (wanted, asked) = match rest.trim().strip_prefix('!') {
                    Some(asked) => (false, asked),
                    None => (true, rest.trim()),
                };
                let holds = match name {
                    "ifmodule" => self.modules.contains(&module_name(asked)),
                    _ => self.variables.contains_key(asked),
                };
                if holds == wanted {
                    self.entries(inside, path);
                }
            }
            "virtualhost" => {
                let site = Site { place, ..Site::default() };
                self.hosts.push(Host { site, ..Host::default() });
                self.now = self.hosts.len() - 1;
                self.entries(inside, path);
                self.now = 0;
            }
            "location" | "locationmatch" | "directory" | "directorymatch" | "proxy" => {
                let about = arguments(rest).last().cloned().unwrap_or_default();
                let outer = self.protected.replace((about, false));
                self.entries(inside, path);
                self.protected = outer;
            }
            _ => self.entries(inside, path),
        }
    }

    fn directive(&mut self, name: &str, words: &[String], place: Place) {
        let word = |index: usize| words.get(index).cloned().unwrap_or_default();
        match name {
            "include" | "includeoptional" => self.include(&word(0), &place),
            "define" => {
                self.variables.insert(word(0), word(1));
            }
            "undefine" => {
                self.variables.remove(&word(0));
            }
            "serverroot" => self.root = word(0),
            "loadmodule" => {
                self.modules.insert(module_name(&word(0)));
            }
            "logformat" => self.log_format(words, place),
            "customlog" | "globallog" | "transferlog" => self.custom_log(name, words, place),
            "errorlog" => self.hosts[self.now].error = Some((word(0), place)),
            // With two arguments it is about the start of each request or connection.
            "errorlogformat" if words.len() == 1 => {
                self.hosts[self.now].error_format = Some(place);
            }
            "remoteipheader" => self.config.proxies.header = Some((word(0), place)),
            "remoteiptrustedproxy" | "remoteipinternalproxy" => {
                let nets = words.iter().map(|net| (net.clone(), place.clone()));
                self.config.proxies.trusted.extend(nets);
            }
            "remoteiptrustedproxylist" | "remoteipinternalproxylist" => {
                self.proxy_list(&word(0), &place);
            }
            "remoteipproxyprotocol" if word(0).eq_ignore_ascii_case("on") => {
                self.config.proxies.header = Some(("PROXY protocol".to_owned(), place));
            }
            _ => self.about_site(name, words, place),
        }
    }

    /// Directives that tell what a site is.
    fn about_site(&mut self, name: &str, words: &[String], place: Place) {
        let site = &mut self.hosts[self.now].site;
        let first = words.first().map_or("", String::as_str);
        match name {
            "servername" => site.names.insert(0, host_of(first)),
            "serveralias" => {
                let plain = words.iter().filter(|name| !name.contains(['*', '?']));
                site.names.extend(plain.map(|name| host_of(name)));
            }
            "sslengine" => site.tls = first.eq_ignore_ascii_case("on"),
            "proxypass" | "proxypassmatch" => {
                if let Some(to) = words.iter().find(|word| word.contains("://")) {
                    site.backends.push((to.clone(), place));
                }
            }
            "authtype" => {
                if let Some((_, asks)) = &mut self.protected {
                    *asks = matches!(first.to_ascii_lowercase().as_str(), "basic" | "digest");
                }
            }
            "require" => {
                let who = ["valid-user", "user", "group", "ldap-group", "ldap-user"];
                if let Some((about, true)) = &self.protected
                    && who.contains(&first.to_ascii_lowercase().as_str())
                    && !site.protected.iter().any(|(known, _)| known == about)
                {
                    site.protected.push((about.clone(), place));
                }
            }
            _ => (),
        }
    }

    fn include(&mut self, asked: &str, place: &Place) {
        let pattern = below(&self.root, asked);
        let paths = if self.tree.has_directory(&pattern) {
            self.tree.all_in(&pattern)
        } else {
            self.tree.glob(&pattern)
        };
        for path in paths {
            self.file(&path, place);
        }
    }

    /// A file with a proxy on each line.
    fn proxy_list(&mut self, asked: &str, place: &Place) {
        let path = below(&self.root, asked);
        let Some(text) = self.tree.read(&path, place) else { return };
        for (index, line) in String::from_utf8_lossy(&text).lines().enumerate() {
            let net = line.split('#').next().unwrap_or_default().trim();
            if !net.is_empty() {
                let place = Place { file: self.tree.here(&path), line: index + 1 };
                self.config.proxies.trusted.push((net.to_owned(), place));
            }
        }
    }

    fn log_format(&mut self, words: &[String], place: Place) {
        let Some(text) = words.first() else { return };
        let name = words.get(1).cloned().unwrap_or_default();
        let layout = layout::apache(&name, &log_text(text), Some(place));
        match words.get(1) {
            Some(name) => drop(self.nicknames.insert(name.clone(), layout)),
            None => self.unnamed = Some(layout),
        }
    }

    fn custom_log(&mut self, name: &str, words: &[String], place: Place) {
        let is_condition = |word: &&String| word.starts_with("env=") || word.starts_with("expr=");
        let format = words.get(1).filter(|word| !is_condition(word));
        let custom = Custom {
            target: words.first().cloned().unwrap_or_default(),
            format: format.filter(|_| name != "transferlog").cloned(),
            unnamed: self.unnamed.clone(),
            condition: words.iter().skip(1).find(is_condition).cloned(),
            is_global: name == "globallog",
            place,
        };
        self.hosts[self.now].logs.push(custom);
    }

    /// Everything is read: which host writes where.
    fn finish(mut self) -> ServerConfig {
        let hosts = std::mem::take(&mut self.hosts);
        let main = hosts[0].clone();
        let inherits = |host: &Host| host.logs.iter().all(|log| log.is_global);
        for (index, host) in hosts.iter().enumerate() {
            // The main server answers only where no virtual host does.
            let is_main = index == 0;
            if is_main && 1 < hosts.len() && !hosts[1..].iter().any(inherits) {
                // Ready for a virtual host without a log of its own; nobody writes there now.
                for log in &host.logs {
                    self.access(log, None);
                }
                self.errors(host, &main);
                continue;
            }
            let own = !is_main && !inherits(host);
            let from_main = main.logs.iter().filter(|log| is_main || !own || log.is_global);
            let logs: Vec<&Custom> = match is_main {
                true => host.logs.iter().collect(),
                false => host.logs.iter().chain(from_main).collect(),
            };
            for log in &logs {
                self.access(log, Some(host));
            }
            if logs.is_empty() && (!is_main || hosts.len() == 1) {
                let place = if is_main {
                    Place { file: self.config.main.clone(), line: 0 }
                } else {
                    host.site.place.clone()
                };
                self.gap(LogKind::Access, host, GapReason::Missing, &place);
            }
            self.errors(host, &main);
        }
        let is_told = |host: &&Host| !host.site.protected.is_empty() || !host.site.names.is_empty();
        self.config.sites = match hosts.len() {
            1 => hosts.into_iter().map(|host| host.site).collect(),
            _ => {
                let first = hosts.iter().take(1).filter(is_told).cloned().collect::<Vec<_>>();
                let rest = hosts.into_iter().skip(1);
                first.into_iter().chain(rest).map(|host| host.site).collect()
            }
        };
        self.config.files = self.tree.files();
        self.config.troubles.append(&mut self.tree.troubles);
        self.config
    }

    fn access(&mut self, log: &Custom, host: Option<&Host>) {
        match self.where_to(&log.target) {
            Ok(path) => {
                let log = Log {
                    server: Server::Apache,
                    kind: LogKind::Access,
                    path,
                    layout: self.layout(log),
                    places: vec![log.place.clone()],
                    sites: host.iter().map(|host| host.site.name().to_owned()).collect(),
                    filter: log.condition.clone(),
                    is_mixed: false,
                };
                self.config.add(log);
            }
            Err(reason) => {
                let nobody = Host::default();
                self.gap(LogKind::Access, host.unwrap_or(&nobody), reason, &log.place);
            }
        }
    }

    fn errors(&mut self, host: &Host, main: &Host) {
        let built_in = ("logs/error_log".to_owned(), Place::default());
        let error = host.error.as_ref().or(main.error.as_ref());
        let (target, place) = error.cloned().unwrap_or(built_in);
        match self.where_to(&target) {
            Ok(path) => {
                // A format of the administrator's own may still be one that is known.
                let own = host.error_format.as_ref().or(main.error_format.as_ref());
                let shape = match own {
                    Some(_) => Shape::Auto,
                    None => Shape::Named("apache_error"),
                };
                let layout = Layout { shape, place: own.cloned(), ..Layout::default() };
                let places = if place.line == 0 { Vec::new() } else { vec![place] };
                let sites = vec![host.site.name().to_owned()];
                self.config.add(Log {
                    server: Server::Apache,
                    kind: LogKind::Error,
                    path,
                    layout,
                    places,
                    sites,
                    filter: None,
                    is_mixed: false,
                });
            }
            Err(reason) => self.gap(LogKind::Error, host, reason, &place),
        }
    }

    fn gap(&mut self, kind: LogKind, host: &Host, reason: GapReason, place: &Place) {
        let about = host.site.name().to_owned();
        let (place, matters) = (place.clone(), kind == LogKind::Access);
        let gap = Gap { server: Server::Apache, kind, about, matters, reason, place };
        if !self.config.gaps.contains(&gap) {
            self.config.gaps.push(gap);
        }
    }

    fn layout(&self, log: &Custom) -> Layout {
        let Some(format) = &log.format else {
            let common = || layout::apache("common", COMMON, None);
            return log.unnamed.clone().unwrap_or_else(common);
        };
        match self.nicknames.get(format) {
            Some(layout) => layout.clone(),
            None if format.contains('%') => {
                layout::apache("", &log_text(format), Some(log.place.clone()))
            }
            None => Layout {
                name: format.clone(),
                complaint: Some("no LogFormat of this name was found".to_owned()),
                ..Layout::default()
            },
        }
    }

    /// The file or pattern on this machine that a log is written to, or why there is none.
    fn where_to(&self, target: &str) -> Result<String, GapReason> {
        if let Some(command) = target.strip_prefix('|') {
            let command = command.trim_start_matches(['|', '$']).trim();
            let path = piped(command).ok_or_else(|| GapReason::Program(command.to_owned()))?;
            return Ok(self.here(&path));
        }
        match target {
            "" => Err(GapReason::Missing),
            "/dev/null" => Err(GapReason::Off),
            "/dev/stdout" | "/dev/stderr" | "/proc/self/fd/1" | "/proc/self/fd/2" => {
                Err(GapReason::Stream(target.to_owned()))
            }
            _ if target == "syslog" || target.starts_with("syslog:") => {
                Err(GapReason::Syslog(target.to_owned()))
            }
            _ => Ok(self.here(&escaped(target))),
        }
    }

    fn here(&self, pattern: &str) -> String {
        let pattern = below(&self.root, pattern);
        let root = escaped(&self.tree.here("").to_string_lossy());
        format!("{}/{}", root.trim_end_matches('/'), pattern.trim_start_matches('/'))
    }
}

/// The pattern of the files that `rotatelogs` or `cronolog` writes, told by its command line.
fn piped(command: &str) -> Option<String> {
    let words = arguments(command);
    let mut words = words.iter().map(String::as_str);
    let program = words.next()?.rsplit('/').next().unwrap_or_default().to_owned();
    let rotates = match program.as_str() {
        "rotatelogs" | "rotatelogs2" => true,
        "cronolog" => false,
        _ => return None,
    };
    let mut numbered = false;
    let path = loop {
        let word = words.next()?;
        match word {
            "-L" | "-p" | "-m" | "-S" | "-P" | "-z" => drop(words.next()),
            "-n" => {
                numbered = true;
                words.next();
            }
            _ if word.starts_with('-') => (),
            path => break path,
        }
    };
    let mut pattern = String::new();
    let mut chars = path.chars();
    while let Some(char) = chars.next() {
        if char == '%' {
            // A flag such as `%-d` or `%Ez` has a letter more.
            let _ = chars.by_ref().find(char::is_ascii_alphabetic);
            if !pattern.ends_with('*') {
                pattern.push('*');
            }
        } else {
            pattern.push_str(&escaped(&char.to_string()));
        }
    }
    if rotates && numbered {
        pattern.push('*');
    } else if rotates && !path.contains('%') {
        // Without a date of its own it adds the second at which each file began.
        pattern.push_str(".*");
    }
    Some(pattern)
}

/// The escapes that mod_log_config knows in a format.
fn log_text(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n").replace("\\r", "\r").replace("\\\"", "\"")
}

/// `mod_remoteip.c` and `remoteip_module` are the same module.
fn module_name(text: &str) -> String {
    let name = text.trim().trim_end_matches(".c").trim_start_matches("mod_");
    name.strip_suffix("_module").unwrap_or(name).to_owned()
}

/// The host of `https://www.example.org:443`.
fn host_of(name: &str) -> String {
    let name = name.split_once("://").map_or(name, |(_, name)| name);
    name.split(':').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_piped(command: &str, expected: Option<&str>) {
        assert_eq!(expected, piped(command).as_deref(), "{command}");
    }

    #[test]
    fn programs_that_rotate_leave_a_pattern() {
        check_piped("/usr/bin/rotatelogs -l /l/a.%Y-%m-%d.log 86400", Some("/l/a.*-*-*.log"));
        check_piped("rotatelogs -L /l/now.log /l/a 5M", Some("/l/a.*"));
        check_piped("rotatelogs -n 5 /l/a 1M", Some("/l/a*"));
        check_piped("/usr/sbin/cronolog \"/l/%Y/a b.log\"", Some("/l/*/a b.log"));
        check_piped("/usr/bin/logger -t apache", None);
        check_piped("", None);
    }

    #[test]
    fn shells_forget_unknown_names() {
        let known = BTreeMap::from([("A".to_owned(), "/a".to_owned())]);
        assert_eq!("/a/x/a", shell_expanded("$A/x$B${A}", &known));
        assert_eq!("", shell_expanded("${", &known));
    }

    #[test]
    fn modules_have_two_names() {
        assert_eq!(module_name("mod_remoteip.c"), module_name("remoteip_module"));
    }
}
