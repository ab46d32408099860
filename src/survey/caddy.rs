//! Caddy: the logs of a Caddyfile.
//!
//! Best effort: placeholders, arguments of imports and the JSON configuration are not followed. A
//! site without a `log` directive writes no access log at all, which is told.

use super::blocks::{Directive, Style, parse};
use super::model::{
    Gap, GapReason, Layout, Log, LogKind, Place, Server, ServerConfig, Shape, Site,
};
use super::tree::{MAX_INCLUDES, Tree, below, escaped, folder_of};

/// Where packages keep the main file.
pub(super) const USUAL: &[&str] = &["/etc/caddy/Caddyfile"];

/// Reads the configuration that begins in `main`.
pub(super) fn survey(main: &str, tree: &mut Tree) -> ServerConfig {
    let place = Place { file: tree.here(main), line: 0 };
    let mut config = ServerConfig::new(Server::Caddy, place.file.clone());
    let mut walk = Walk { config: &mut config, tree, snippets: Vec::new(), depth: 0 };
    walk.file(main, &place);
    config.files = tree.files();
    config.troubles.append(&mut tree.troubles);
    config
}

struct Walk<'w> {
    config: &'w mut ServerConfig,
    tree: &'w mut Tree,
    /// Named parts, and the file each stands in.
    snippets: Vec<(String, Vec<Directive>, String)>,
    depth: usize,
}

impl Walk<'_> {
    fn file(&mut self, path: &str, asked_by: &Place) {
        if MAX_INCLUDES <= self.depth {
            return;
        }
        let Some(text) = self.tree.read(path, asked_by) else { return };
        self.depth += 1;
        let all = parse(&text, Style::Caddy);
        let is_bare =
            all.first().is_some_and(|first| first.block.is_none() && first.word(0) != "import");
        if is_bare {
            // One site without braces: its addresses, then its directives.
            let site = Directive { block: Some(all[1..].to_vec()), ..all[0].clone() };
            self.site(&site, path);
        } else {
            for directive in &all {
                self.top(directive, path);
            }
        }
        self.depth -= 1;
    }

    fn top(&mut self, directive: &Directive, path: &str) {
        let name = directive.word(0);
        match &directive.block {
            _ if name == "import" => {
                let place = self.place(path, directive);
                let pattern = below(folder_of(path), directive.word(1));
                for file in self.tree.glob(&pattern) {
                    self.file(&file, &place);
                }
            }
            Some(block) if name.starts_with('(') => {
                let name = name.trim_matches(['(', ')']).to_owned();
                self.snippets.push((name, block.clone(), path.to_owned()));
            }
            // Without a name: options for all sites.
            Some(_) if directive.words.is_empty() => (),
            Some(_) => self.site(directive, path),
            None => (),
        }
    }

    fn place(&self, path: &str, directive: &Directive) -> Place {
        Place { file: self.tree.here(path), line: directive.line }
    }

    fn site(&mut self, directive: &Directive, path: &str) {
        let mut site = Site { place: self.place(path, directive), ..Site::default() };
        for address in &directive.words {
            for address in address.split(',').filter(|address| !address.is_empty()) {
                site.tls |= !address.starts_with("http://") && !address.starts_with(':');
                let host = address.split_once("://").map_or(address, |(_, host)| host);
                let host = host.split([':', '/']).next().unwrap_or_default();
                if host.contains('.') && !host.contains('*') {
                    site.names.push(host.to_owned());
                }
            }
        }
        let block = directive.block.clone().unwrap_or_default();
        let logs = self.inside(&block, path, &mut site, 0);
        if logs == 0 {
            self.gap(&site, GapReason::Missing, site.place.clone());
        }
        self.config.sites.push(site);
    }

    /// Looks into the directives of a site; answers how many logs it has.
    fn inside(&mut self, block: &[Directive], path: &str, site: &mut Site, depth: usize) -> usize {
        let mut logs = 0;
        for directive in block {
            let place = self.place(path, directive);
            match directive.word(0) {
                "log" => {
                    logs += 1;
                    self.log(directive, site, place);
                }
                "basic_auth" | "basicauth" | "forward_auth" => {
                    let about = directive.words.iter().skip(1).find(|word| word.starts_with('/'));
                    site.protected.push((about.map_or("/", String::as_str).to_owned(), place));
                }
                "reverse_proxy" | "php_fastcgi" => {
                    let to = directive.words.iter().skip(1).find(|word| word.contains(':'));
                    site.backends.extend(to.map(|to| (to.clone(), place)));
                }
                "import" if depth < MAX_INCLUDES => {
                    let named = |(name, ..): &&(String, _, _)| name == directive.word(1);
                    if let Some((_, block, path)) = self.snippets.iter().find(named).cloned() {
                        logs += self.inside(&block, &path, site, depth + 1);
                    }
                }
                "handle" | "handle_path" | "route" => {
                    let block = directive.block.clone().unwrap_or_default();
                    logs += self.inside(&block, path, site, depth);
                }
                _ => (),
            }
        }
        logs
    }

    fn log(&mut self, directive: &Directive, site: &Site, place: Place) {
        let block = directive.block.as_deref().unwrap_or_default();
        let find = |name: &str| block.iter().find(|one| one.word(0) == name);
        let output = find("output");
        let reason = match output.map_or("stderr", |output| output.word(1)) {
            "file" => None,
            "discard" => Some(GapReason::Off),
            "net" => {
                let to = output.map_or("", |output| output.word(2));
                Some(GapReason::Syslog(to.to_owned()))
            }
            stream => Some(GapReason::Stream(stream.to_owned())),
        };
        if let Some(reason) = reason {
            return self.gap(site, reason, place);
        }
        // JSON is the default in a file.
        let is_json = find("format").is_none_or(|format| format.word(1) == "json");
        let shape = if is_json { Shape::Named("caddy") } else { Shape::Auto };
        let path = output.map_or("", |output| output.word(2));
        let file = self.tree.here(&below("/var/lib/caddy", path));
        self.config.add(Log {
            server: Server::Caddy,
            kind: LogKind::Access,
            path: escaped(&file.to_string_lossy()),
            layout: Layout { shape, ..Layout::default() },
            places: vec![place],
            sites: vec![site.name().to_owned()],
            filter: None,
            is_mixed: false,
        });
    }

    fn gap(&mut self, site: &Site, reason: GapReason, place: Place) {
        let (server, kind) = (Server::Caddy, LogKind::Access);
        let about = site.name().to_owned();
        self.config.gaps.push(Gap { server, kind, about, matters: true, reason, place });
    }
}
