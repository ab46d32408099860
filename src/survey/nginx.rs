//! nginx: which logs it writes, in which format, for which sites, and behind which proxies.
//!
//! The rules are those of ngx_http_core_module and ngx_http_log_module: a block that names an
//! `access_log` drops those it would inherit, and a server that nowhere names one writes to the path
//! that was built in.

use std::path::Path;

use super::blocks::{Directive, Style, parse};
use super::layout;
use super::model::{
    Gap, GapReason, Layout, Log, LogKind, Place, Server, ServerConfig, Shape, Site,
};
use super::tree::{MAX_INCLUDES, Tree, below, escaped, folder_of};

/// Where the packages of common systems keep the main file.
pub(super) const USUAL: &[&str] = &[
    "/etc/nginx/nginx.conf",
    "/usr/local/nginx/conf/nginx.conf",
    "/usr/local/etc/nginx/nginx.conf",
    "/usr/local/openresty/nginx/conf/nginx.conf",
    "/opt/nginx/conf/nginx.conf",
];

/// Blocks that can hold locations or more of a location.
const INNER: &[&str] = &["location", "if", "limit_except"];

/// Reads the configuration that begins in `main`.
pub(super) fn survey(main: &str, tree: &mut Tree) -> ServerConfig {
    let place = Place { file: tree.here(main), line: 0 };
    let mut config = ServerConfig::new(Server::Nginx, place.file.clone());
    let mut reader = Reader { tree, conf: folder_of(main).to_owned(), reading: Vec::new() };
    let all = reader.file(main, &place);
    let prefix = prefix_of(main, reader.tree);
    let (locations, formats) = (Vec::new(), Vec::new());
    let mut walk = Walk { locations, config: &mut config, tree: reader.tree, prefix, formats };
    let outside = Scope::default().with(&all, &mut walk);
    let blocks = all.iter().filter(|node| node.directive.word(0) == "http");
    for http in blocks {
        walk.http(&http.block, &outside);
    }
    config.files = tree.files();
    config.troubles.append(&mut tree.troubles);
    config
}

/// The directory of relative paths, which is built in: where packages and sources put it.
fn prefix_of(main: &str, tree: &Tree) -> String {
    let conf = folder_of(main);
    match conf {
        "/etc/nginx" if tree.has_directory("/usr/share/nginx") => "/usr/share/nginx".to_owned(),
        _ => conf.strip_suffix("/conf").unwrap_or(conf).to_owned(),
    }
}

/// A directive, with the file it stands in, and everything it includes in place.
struct Node {
    directive: Directive,
    place: Place,
    block: Vec<Self>,
}

struct Reader<'t> {
    tree: &'t mut Tree,
    /// The directory of the main file: includes are relative to it.
    conf: String,
    /// Files that include each other, so that none includes itself.
    reading: Vec<String>,
}

impl Reader<'_> {
    fn file(&mut self, path: &str, asked_by: &Place) -> Vec<Node> {
        if MAX_INCLUDES <= self.reading.len() || self.reading.iter().any(|known| known == path) {
            return Vec::new();
        }
        let Some(text) = self.tree.read(path, asked_by) else { return Vec::new() };
        self.reading.push(path.to_owned());
        let file = self.tree.here(path);
        let nodes = self.nodes(parse(&text, Style::Nginx), &file);
        self.reading.pop();
        nodes
    }

    fn nodes(&mut self, directives: Vec<Directive>, file: &Path) -> Vec<Node> {
        let mut nodes = Vec::new();
        for mut directive in directives {
            let place = Place { file: file.to_owned(), line: directive.line };
            if directive.word(0) == "include" {
                let pattern = below(&self.conf, directive.word(1));
                for path in self.tree.glob(&pattern) {
                    nodes.extend(self.file(&path, &place));
                }
                continue;
            }
            let block = directive.block.take().unwrap_or_default();
            let block = self.nodes(block, file);
            nodes.push(Node { directive, place, block });
        }
        nodes
    }
}

/// One `access_log` or `error_log`.
#[derive(Clone, Debug)]
struct Target {
    words: Vec<String>,
    place: Place,
}

/// A location, as far as passwords go.
#[derive(Clone, Debug)]
struct Location {
    /// `=`, `~`, `~*`, `^~`, or nothing.
    modifier: String,
    path: String,
    /// `auth_basic` is on, and no address gets past it.
    asks: bool,
}

/// What a block inherits.
#[derive(Clone, Debug, Default)]
struct Scope {
    access: Option<Vec<Target>>,
    error: Option<Vec<Target>>,
    /// `auth_basic` or `auth_request` is on, since there.
    protected: Option<Place>,
    /// It is `auth_basic`, which checks the name itself.
    basic: bool,
    /// `satisfy any`: an address may do instead of a password.
    any: bool,
    /// Parts of a location's path, for messages.
    location: String,
}

impl Scope {
    /// The scope of a block that holds `nodes`.
    fn with(&self, nodes: &[Node], walk: &mut Walk<'_>) -> Self {
        let targets = |name: &str| -> Option<Vec<Target>> {
            let named = nodes.iter().filter(|node| node.directive.word(0) == name);
            let target = |node: &Node| {
                let words = node.directive.words[1..].to_vec();
                Target { words, place: node.place.clone() }
            };
            let all: Vec<Target> = named.map(target).collect();
            (!all.is_empty()).then_some(all)
        };
        let mut scope = self.clone();
        scope.access = targets("access_log").or(scope.access);
        scope.error = targets("error_log").or(scope.error);
        for node in nodes {
            let word = node.directive.word(1);
            match node.directive.word(0) {
                name @ ("auth_basic" | "auth_request") => {
                    let is_on = word != "off";
                    scope.protected = is_on.then(|| node.place.clone());
                    scope.basic = is_on && name == "auth_basic";
                }
                "satisfy" => scope.any = word == "any",
                "set_real_ip_from" => {
                    walk.config.proxies.trusted.push((word.to_owned(), node.place.clone()));
                }
                "real_ip_header" => {
                    walk.config.proxies.header = Some((word.to_owned(), node.place.clone()));
                }
                _ => (),
            }
        }
        scope
    }
}

struct Walk<'w> {
    /// The locations of the server that is looked at.
    locations: Vec<Location>,
    config: &'w mut ServerConfig,
    tree: &'w mut Tree,
    prefix: String,
    formats: Vec<Layout>,
}

impl Walk<'_> {
    fn http(&mut self, nodes: &[Node], outside: &Scope) {
        for node in nodes.iter().filter(|node| node.directive.word(0) == "log_format") {
            self.formats.push(format_of(node));
        }
        let scope = outside.with(nodes, self);
        let servers: Vec<&Node> =
            nodes.iter().filter(|node| node.directive.word(0) == "server").collect();
        let is_hidden = changes_refusals(nodes);
        for server in &servers {
            self.server(server, &scope, is_hidden);
        }
        if servers.is_empty() && scope.access.is_some() {
            // Nothing is served yet; what would be written is still worth watching.
            self.write(&scope, &Site::default(), false);
        }
        // The start of the server and what belongs to no site are told there.
        self.write_errors(outside, "");
        self.write_errors(&scope, "");
    }

    fn server(&mut self, node: &Node, http: &Scope, is_hidden: bool) {
        let mut site = Site { place: node.place.clone(), ..Site::default() };
        for inner in &node.block {
            let words = &inner.directive.words;
            match inner.directive.word(0) {
                "server_name" => {
                    site.names.extend(words[1..].iter().filter(|name| is_name(name)).cloned());
                }
                "listen" => {
                    site.tls |= words.iter().any(|word| matches!(word.as_str(), "ssl" | "quic"));
                    if words.iter().any(|word| word == "proxy_protocol") {
                        self.config.proxies.proxy_protocol = Some(inner.place.clone());
                    }
                }
                "ssl" => site.tls |= inner.directive.word(1) == "on",
                _ => (),
            }
        }
        let scope = http.with(&node.block, self);
        if let Some(place) = &scope.protected {
            site.protected.push(("/".to_owned(), place.clone()));
        }
        let all = Location {
            modifier: String::new(),
            path: "/".to_owned(),
            asks: scope.basic && !scope.any,
        };
        self.locations = vec![all];
        let mut site = self.inside(&node.block, &scope, site);
        site.protected.dedup();
        if !is_hidden {
            site.checked = checked(&self.locations);
        }
        self.write(&scope, &site, true);
        self.write_errors(&scope, site.name());
        self.config.sites.push(site);
    }

    /// Looks into the locations of a server.
    fn inside(&mut self, nodes: &[Node], outer: &Scope, mut site: Site) -> Site {
        for node in nodes {
            let name = node.directive.word(0);
            if matches!(name, "proxy_pass" | "fastcgi_pass" | "uwsgi_pass" | "grpc_pass") {
                site.backends.push((node.directive.word(1).to_owned(), node.place.clone()));
            }
            if !INNER.contains(&name) {
                continue;
            }
            let mut scope = outer.with(&node.block, self);
            if name == "location" {
                scope.location = node.directive.words.last().cloned().unwrap_or_default();
                let modifier =
                    if 2 < node.directive.words.len() { node.directive.word(1) } else { "" };
                self.locations.push(Location {
                    modifier: modifier.to_owned(),
                    path: scope.location.clone(),
                    asks: scope.basic && !scope.any,
                });
            }
            let place_of = |scope: &Scope| scope.protected.clone();
            if let Some(place) = place_of(&scope)
                && place_of(outer).as_ref() != Some(&place)
            {
                site.protected.push((scope.location.clone(), place));
            }
            let has_own = |name: &str| node.block.iter().any(|one| one.directive.word(0) == name);
            if has_own("access_log") {
                self.write(&scope, &site, scope.protected.is_some());
            }
            if has_own("error_log") {
                self.write_errors(&scope, site.name());
            }
            site = self.inside(&node.block, &scope, site);
        }
        site
    }

    /// Notes the access logs of a scope.
    fn write(&mut self, scope: &Scope, site: &Site, matters: bool) {
        let place = site.place.clone();
        let built_in = Target { words: vec![self.built_in("access.log")], place: place.clone() };
        let targets = scope.access.clone().unwrap_or_else(|| vec![built_in]);
        for target in targets {
            let (reason, path) = match where_to(target.words.first().map_or("", String::as_str)) {
                Ok(path) => (None, path),
                Err(reason) => (Some(reason), String::new()),
            };
            let options = target.words.get(1..).unwrap_or_default();
            let is_gzip = options.iter().any(|word| word.starts_with("gzip"));
            let reason = reason.or_else(|| is_gzip.then(|| GapReason::Compressed(path.clone())));
            if let Some(reason) = reason {
                self.gap(LogKind::Access, scope, site, matters, reason, &target.place);
                continue;
            }
            let format = options.first().filter(|word| !word.contains('='));
            let layout = self.layout(format.map_or("combined", String::as_str));
            let filter = options.iter().find_map(|word| word.strip_prefix("if="));
            // What is built in stands nowhere.
            let places = if scope.access.is_some() { vec![target.place] } else { Vec::new() };
            self.config.add(Log {
                server: Server::Nginx,
                kind: LogKind::Access,
                path: self.here(&path),
                layout,
                places,
                sites: vec![site.name().to_owned()],
                filter: filter.map(str::to_owned),
                is_mixed: false,
            });
        }
    }

    fn write_errors(&mut self, scope: &Scope, site: &str) {
        let path = self.built_in("error.log");
        let built_in = Target { words: vec![path], place: Place::default() };
        let is_built_in = scope.error.is_none();
        for target in scope.error.clone().unwrap_or_else(|| vec![built_in]) {
            let first = target.words.first().map_or("", String::as_str);
            let named = Site { names: vec![site.to_owned()], ..Site::default() };
            match where_to(first) {
                Ok(path) => {
                    let level = target.words.get(1).filter(|level| hides_refusals(level));
                    let shape = Shape::Named("nginx_error");
                    let layout = Layout { shape, ..Layout::default() };
                    let places = if is_built_in { Vec::new() } else { vec![target.place] };
                    self.config.add(Log {
                        server: Server::Nginx,
                        kind: LogKind::Error,
                        path: self.here(&path),
                        layout,
                        places,
                        sites: vec![site.to_owned()],
                        filter: level.cloned(),
                        is_mixed: false,
                    });
                }
                // `error_log off` is a file of that name; nobody means it.
                Err(reason) => {
                    self.gap(LogKind::Error, scope, &named, false, reason, &target.place);
                }
            }
        }
    }

    fn gap(
        &mut self,
        kind: LogKind,
        scope: &Scope,
        site: &Site,
        matters: bool,
        reason: GapReason,
        place: &Place,
    ) {
        let about = format!("{}{}", site.name(), scope.location);
        let place = place.clone();
        let gap = Gap { server: Server::Nginx, kind, about, matters, reason, place };
        if !self.config.gaps.contains(&gap) {
            self.config.gaps.push(gap);
        }
    }

    fn layout(&self, name: &str) -> Layout {
        if let Some(layout) = self.formats.iter().find(|layout| layout.name == name) {
            return layout.clone();
        }
        match name {
            "combined" => layout::nginx("combined", layout::NGINX_COMBINED, "", None),
            _ => Layout {
                name: name.to_owned(),
                complaint: Some("no log_format of this name was found".to_owned()),
                ..Layout::default()
            },
        }
    }

    /// The path built in for a log, as the packages set it; a build from source has `logs/`.
    fn built_in(&self, name: &str) -> String {
        let packaged = self.config.main.ends_with("etc/nginx/nginx.conf");
        if packaged { format!("/var/log/nginx/{name}") } else { format!("logs/{name}") }
    }

    /// A path with variables is a pattern of all their values.
    fn here(&self, path: &str) -> String {
        let path = below(&self.prefix, path);
        let root = escaped(&self.tree.here("").to_string_lossy());
        format!("{}/{}", root.trim_end_matches('/'), pattern_of(&path).trim_start_matches('/'))
    }
}

/// An `error_page` for 401 may answer a refused password with success.
fn changes_refusals(nodes: &[Node]) -> bool {
    nodes.iter().any(|node| {
        let words = &node.directive.words;
        let is_one = words.first().is_some_and(|name| name == "error_page");
        (is_one && words.iter().any(|word| word == "401")) || changes_refusals(&node.block)
    })
}

/// Paths below which every request needs a password, whichever location answers it.
fn checked(locations: &[Location]) -> Vec<String> {
    let is_prefix = |one: &Location| matches!(one.modifier.as_str(), "" | "^~");
    let is_regex = |one: &Location| one.modifier.starts_with('~');
    let is_safe = |one: &&Location| {
        let inside = |other: &Location| {
            // An expression goes before a prefix, wherever it stands.
            !is_regex(other) && other.path.starts_with(&one.path)
                || is_regex(other) && one.modifier != "^~"
        };
        one.asks
            && is_prefix(one)
            && one.path.starts_with('/')
            && locations.iter().filter(|other| inside(other)).all(|other| other.asks)
    };
    let mut paths: Vec<String> =
        locations.iter().filter(is_safe).map(|one| one.path.clone()).collect();
    paths.sort();
    paths.dedup();
    paths
}

/// A refused password is logged as `error`.
fn hides_refusals(level: &str) -> bool {
    matches!(level, "crit" | "alert" | "emerg")
}

/// A file, or why it is none.
fn where_to(word: &str) -> Result<String, GapReason> {
    match word {
        "off" => Err(GapReason::Off),
        "stderr" | "/dev/stdout" | "/dev/stderr" | "/dev/null" => {
            Err(GapReason::Stream(word.to_owned()))
        }
        "" => Err(GapReason::Missing),
        _ => match word.strip_prefix("syslog:") {
            Some(rest) => Err(GapReason::Syslog(rest.to_owned())),
            None if word.starts_with("memory:") => Err(GapReason::Stream(word.to_owned())),
            None => Ok(word.to_owned()),
        },
    }
}

/// `/var/log/nginx/$host.log` as `/var/log/nginx/*.log`.
fn pattern_of(path: &str) -> String {
    let mut out = String::new();
    let mut rest = path;
    while let Some(at) = rest.find('$') {
        out.push_str(&escaped(&rest[..at]));
        out.push('*');
        let name = &rest[at + 1..];
        let is_word = |char: char| char.is_ascii_alphanumeric() || char == '_';
        rest = match name.strip_prefix('{') {
            Some(inner) => inner.split_once('}').map_or("", |(_, after)| after),
            None => name.trim_start_matches(is_word),
        };
    }
    out.push_str(&escaped(rest));
    out
}

fn format_of(node: &Node) -> Layout {
    let words = &node.directive.words;
    let escape = words.get(2).and_then(|word| word.strip_prefix("escape="));
    let parts = words.get(if escape.is_some() { 3 } else { 2 }..).unwrap_or_default();
    let place = Some(node.place.clone());
    layout::nginx(node.directive.word(1), &parts.concat(), escape.unwrap_or_default(), place)
}

/// A name that people use, no placeholder or expression.
fn is_name(name: &str) -> bool {
    let is_host = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    is_host && name.contains('.') && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(locations: &[(&str, &str, bool)], expected: &[&str]) {
        let locations: Vec<Location> = locations
            .iter()
            .map(|(modifier, path, asks)| Location {
                modifier: (*modifier).to_owned(),
                path: (*path).to_owned(),
                asks: *asks,
            })
            .collect();
        assert_eq!(expected, checked(&locations));
    }

    #[test]
    fn a_path_is_checked_where_nothing_below_it_is_open() {
        check(&[("", "/", false), ("", "/members/", true)], &["/members/"]);
        check(&[("", "/", true), ("", "/members/", true)], &["/", "/members/"]);
        check(&[("", "/members/", true), ("", "/members/open/", false)], &[]);
        check(&[("", "/members/", true), ("=", "/members/open", false)], &[]);
        check(&[("", "/members/", true), ("~", "\\.php$", false)], &[]);
        check(&[("^~", "/members/", true), ("~", "\\.php$", false)], &["/members/"]);
        check(&[("", "/members/", true), ("~", "\\.php$", true)], &["/members/"]);
        check(&[("~", "/members/", true), ("=", "/x", true), ("", "@named", true)], &[]);
    }

    #[test]
    fn variables_in_a_path_stand_for_anything() {
        assert_eq!("/l/*.log", pattern_of("/l/$host.log"));
        assert_eq!("/l/*-a/*x", pattern_of("/l/${host}-a/${b}x"));
        assert_eq!("/l/\\[1\\]*", pattern_of("/l/[1]$"));
    }
}
