//! What an operator should know about the logs of a machine, the most dangerous first: each with
//! where it stands, why it matters, and the lines that change it.

use super::layout::{Need, lacks_zone, suggestion, use_of_suggestion};
use super::model::{Gap, GapReason, Layout, LogKind, Place, Server, ServerConfig};
use super::rights::Accounts;
use super::{Survey, Watched, network};

/// Something to know or to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// How bad it is, 0 to 99; [`Finding::level`] says it in a word.
    pub rank: u8,
    /// One line.
    pub title: String,
    /// Why it matters.
    pub detail: String,
    /// What to write or to run, line by line.
    pub fix: Vec<String>,
    /// Where it stands.
    pub places: Vec<Place>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// Nothing to do.
    Note,
    /// More would be seen.
    Advice,
    /// Something is missed.
    Warning,
    /// Lines are lost, or the wrong person is blamed.
    Danger,
}

impl Level {
    /// The word for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Danger => "DANGER",
            Self::Warning => "WARNING",
            Self::Advice => "ADVICE",
            Self::Note => "NOTE",
        }
    }
}

impl Finding {
    fn new(rank: u8, title: impl Into<String>, detail: impl Into<String>) -> Self {
        let (title, detail) = (title.into(), detail.into());
        Self { rank, title, detail, fix: Vec::new(), places: Vec::new() }
    }

    fn fix(mut self, lines: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.fix.extend(lines.into_iter().map(Into::into));
        self
    }

    fn at(mut self, places: impl IntoIterator<Item = Place>) -> Self {
        self.places.extend(places.into_iter().filter(|place| place.line != 0));
        self
    }

    /// How bad it is.
    pub fn level(&self) -> Level {
        match self.rank {
            80.. => Level::Danger,
            50.. => Level::Warning,
            20.. => Level::Advice,
            _ => Level::Note,
        }
    }
}

/// All findings of a survey.
pub(super) fn of(survey: &Survey, accounts: &Accounts) -> Vec<Finding> {
    let mut all: Vec<Finding> = Vec::new();
    for watched in &survey.logs {
        all.extend(unreadable(watched, survey));
        all.extend(fit(watched));
    }
    all.extend(unrotated(survey));
    rotations(survey, accounts, &mut all);
    formats(survey, &mut all);
    absent(survey, &mut all);
    for server in &survey.servers {
        all.extend(server.gaps.iter().map(gap));
        proxies(server, &mut all);
        all.extend(protected(server));
        for trouble in &server.troubles {
            let text = "a part of the configuration could not be read";
            all.push(Finding::new(51, text, trouble.text.clone()).at([trouble.place.clone()]));
        }
    }
    all.extend(crowds(survey));
    if survey.only_journal {
        let detail = "Log-ins over ssh, sudo and su are in the journal alone. The configuration reads \
                      it; the user needs its group.";
        let title = "the log-ins of this machine are in its journal";
        let fix = format!("usermod -aG systemd-journal {}", survey.reader.name);
        all.push(Finding::new(45, title, detail).fix([fix]));
    }
    // Two reasons for the same sentence are one finding.
    let mut merged: Vec<Finding> = Vec::new();
    for finding in all {
        match merged.iter_mut().find(|known| {
            known.title == finding.title
                && known.detail == finding.detail
                && known.fix == finding.fix
        }) {
            Some(known) => known.places.extend(finding.places),
            None => merged.push(finding),
        }
    }
    merged.sort_by_key(|finding| std::cmp::Reverse(finding.rank));
    merged
}

/// "a", "a and b", "a, b and 3 more".
pub(super) fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [one, two] => format!("{one} and {two}"),
        [one, two, rest @ ..] => format!("{one}, {two} and {} more", rest.len()),
    }
}

fn unreadable(watched: &Watched, survey: &Survey) -> Option<Finding> {
    let obstacle = watched.obstacle.as_ref()?;
    let name = &survey.reader.name;
    let title = format!("user {name} may not read {}", watched.log.path);
    let (path, mode, group) = (obstacle.path.display(), obstacle.mode, &obstacle.group);
    let detail = format!("{path} has mode {mode:04o} and group {group}: nothing would be seen.");
    Some(Finding::new(97, title, detail).fix([obstacle.fix.clone()]))
}

/// The lines of the log against the format that they should have.
fn fit(watched: &Watched) -> Option<Finding> {
    let sample = watched.sample.as_ref()?;
    let better = sample.better?;
    let (read, lines) = (sample.read, sample.lines);
    let title =
        format!("the lines of {} are not in the format configured for it", watched.log.path);
    let used = match read {
        0 => "format = \"auto\" is written instead",
        _ => "older lines may have another format; they are kept as they are",
    };
    let detail = format!("It reads {read} of the last {lines} lines, {better} reads more; {used}.");
    Some(Finding::new(68, title, detail).at(watched.log.places.clone()))
}

/// Logs that no stanza of logrotate names, and that do not rotate themselves.
fn unrotated(survey: &Survey) -> Option<Finding> {
    let grows = |one: &&Watched| {
        let by_itself = one.log.server == Server::Caddy || one.log.path.contains('*');
        one.rotation.is_none() && !by_itself && !one.files.is_empty()
    };
    let paths: Vec<&str> =
        survey.logs.iter().filter(grows).map(|one| one.log.path.as_str()).collect();
    if paths.is_empty() || !survey.has_logrotate {
        return None;
    }
    let are = if paths.len() == 1 { "is" } else { "are" };
    let title = format!("{} {are} never rotated", listed(&paths));
    let detail = "No stanza of logrotate names it: such a log grows until the disk is full.";
    Some(Finding::new(42, title, detail).fix(["name it in a file in /etc/logrotate.d"]))
}

/// What each stanza of logrotate does to the logs that are watched.
fn rotations(survey: &Survey, accounts: &Accounts, all: &mut Vec<Finding>) {
    let mut seen: Vec<&Place> = Vec::new();
    for watched in &survey.logs {
        let Some(rotation) = watched.rotation.as_ref().filter(|one| !seen.contains(&&one.place))
        else {
            continue;
        };
        seen.push(&rotation.place);
        let same =
            |one: &&Watched| one.rotation.as_ref().is_some_and(|r| r.place == rotation.place);
        let paths: Vec<&str> =
            survey.logs.iter().filter(same).map(|one| one.log.path.as_str()).collect();
        let (paths, place) = (listed(&paths), rotation.place.clone());
        if rotation.copytruncate {
            let title = format!("copytruncate loses lines of {paths}");
            let detail = "The log is copied and then emptied: what the server writes in between is \
                          in neither. Let logrotate rename it and tell the server to open a new one.";
            let at = rotation.copytruncate_at.clone().unwrap_or_else(|| place.clone());
            let signal = match watched.log.server {
                Server::Nginx => "[ ! -f /run/nginx.pid ] || kill -USR1 $(cat /run/nginx.pid)",
                Server::Apache => "apachectl graceful",
                Server::Caddy => "systemctl reload caddy",
                Server::System => "/usr/lib/rsyslog/rsyslog-rotate",
            };
            let fix = ["create 0640 root adm", "sharedscripts", "postrotate"];
            let fix = fix.into_iter().map(str::to_owned).chain([
                format!("    {signal}"),
                "endscript".to_owned(),
                "(instead of copytruncate)".to_owned(),
            ]);
            all.push(Finding::new(95, title, detail).fix(fix).at([at]));
        }
        if rotation.keep == Some(0) {
            let title = format!("rotation deletes {paths} at once");
            let detail = "With rotate 0 nothing is left of a log that was not read to its end, for \
                          instance while gatewatch is restarted.";
            all.push(Finding::new(94, title, detail).fix(["rotate 7"]).at([place.clone()]));
        } else if rotation.compress && !rotation.delaycompress && !rotation.copytruncate {
            let title = format!("rotation compresses {paths} at once");
            let detail = "Lines that were not read before the rotation have to be read from the \
                          compressed file, and what a slow server still writes is not in it.";
            all.push(Finding::new(38, title, detail).fix(["delaycompress"]).at([place.clone()]));
        }
        if let Some((mode, owner, group)) = &rotation.create
            && watched.obstacle.is_none()
            && !survey.reader.may_read_new(*mode, owner, group, accounts)
        {
            let name = &survey.reader.name;
            let title = format!("after the next rotation user {name} may not read {paths}");
            let detail = format!("The new file is made with mode {mode:04o}, {owner}:{group}.");
            let fix = [format!("create 0640 {owner} adm"), format!("usermod -aG adm {name}")];
            all.push(Finding::new(86, title, detail).fix(fix).at([place]));
        }
    }
}

/// What formats leave out: one finding for each format, with the line that adds it all.
fn formats(survey: &Survey, all: &mut Vec<Finding>) {
    let mut seen: Vec<(Server, &Layout)> = Vec::new();
    for watched in &survey.logs {
        let log = &watched.log;
        let layout = &log.layout;
        if let (LogKind::Error, Some(level)) = (log.kind, &log.filter) {
            let title = format!("{} leaves out refused passwords", log.path);
            let detail = format!("They are logged as `error`, and the log begins at `{level}`.");
            all.push(Finding::new(54, title, detail).at(log.places.clone()));
        }
        if log.kind != LogKind::Access {
            continue;
        }
        let place = layout.place.clone().or_else(|| log.places.first().cloned());
        if let Some(complaint) = &layout.complaint {
            let title = format!("the format {} of {} cannot be used", layout.name, log.path);
            let detail = format!("{complaint}; the format is found out from the lines instead.");
            all.push(Finding::new(80, title, detail).at(place.clone()));
        }
        if log.is_mixed {
            let title = format!("{} is written in two formats", log.path);
            let detail = "Each line is read with the format that fits it. A log of its own for \
                          each format is read faster and with more certainty.";
            all.push(Finding::new(50, title, detail).at(log.places.clone()));
        }
        if lacks_zone(layout, log.server) {
            let title = format!("the times in {} are without a time zone", log.path);
            let detail = "They are taken to be in the zone of this machine, and an hour in autumn \
                          is there twice. Set `timezone` of the source, or write %t.";
            all.push(Finding::new(65, title, detail).at(place.clone()));
        }
        if let Some(filter) = &log.filter {
            let title = format!("only some requests are written to {}", log.path);
            let detail = format!("What does not fit `{filter}` is seen by nobody.");
            all.push(Finding::new(40, title, detail).at(log.places.clone()));
        }
        // What nobody writes to lacks nothing.
        if !log.sites.is_empty() && !seen.iter().any(|(_, known)| *known == layout) {
            seen.push((log.server, layout));
            let same = seen.iter().filter(|(server, _)| *server == log.server).count();
            all.extend(left_out(watched, survey, place, same));
        }
    }
}

/// The `number`th format of a server, with what it leaves out.
fn left_out(
    watched: &Watched,
    survey: &Survey,
    place: Option<Place>,
    number: usize,
) -> Option<Finding> {
    let log = &watched.log;
    let worst = watched.missing.iter().map(|one| one.need).max()?;
    let rank = match worst {
        Need::Vital => 81,
        Need::Important => 55,
        Need::Useful => 30,
    };
    let same = |one: &&Watched| one.log.layout == log.layout;
    let paths: Vec<&str> =
        survey.logs.iter().filter(same).map(|one| one.log.path.as_str()).collect();
    let whats: Vec<&str> = watched.missing.iter().map(|one| one.what).collect();
    let name = match log.layout.name.as_str() {
        "" => "the format".to_owned(),
        name => format!("the format `{name}`"),
    };
    let title = format!("{name} of {} leaves out {}", listed(&paths), whats.join(", "));
    let gains = watched.missing.iter().map(|one| format!("{}: {}", one.what, one.unlocks));
    let gains: Vec<String> = gains.collect();
    let mut finding = Finding::new(rank, title, gains.join("\n")).at(place);
    // Each format that is added needs a name of its own.
    let new = if number == 1 { "gatewatch".to_owned() } else { format!("gatewatch{number}") };
    if let Some(line) = suggestion(&log.layout, log.server, &watched.missing, &new) {
        let path = called(&log.path, survey);
        let steps = match log.server {
            Server::Nginx => {
                "in http { }, then nginx -t, nginx -s reload and `gatewatch init` again"
            }
            _ => "then apachectl configtest, apachectl graceful and `gatewatch init` again",
        };
        let usage = use_of_suggestion(log.server, &path, &new);
        finding = finding.fix([line, usage, format!("({steps})")]);
    }
    Some(finding)
}

/// The path as the server's own configuration calls it.
fn called(path: &str, survey: &Survey) -> String {
    let root = survey.root.to_string_lossy();
    let inside = path.strip_prefix(root.trim_end_matches('/')).unwrap_or(path);
    inside.replace('\\', "")
}

fn absent(survey: &Survey, all: &mut Vec<Finding>) {
    let none: Vec<&Watched> = survey.logs.iter().filter(|one| one.files.is_empty()).collect();
    if none.is_empty() {
        return;
    }
    let paths: Vec<&str> = none.iter().map(|one| one.log.path.as_str()).collect();
    let title =
        format!("{} {} not there yet", listed(&paths), if none.len() == 1 { "is" } else { "are" });
    let detail = "The server makes it when it starts. Its block is in the configuration, marked \
                  with #: take the marks away then, or run `gatewatch init` again.";
    let places = none.iter().flat_map(|one| one.log.places.clone());
    all.push(Finding::new(28, title, detail).at(places));
}

fn gap(gap: &Gap) -> Finding {
    let about = match gap.about.as_str() {
        "" => format!("a site of {}", gap.server.name()),
        about => about.to_owned(),
    };
    let what = match gap.kind {
        LogKind::Access => "access log",
        LogKind::Error | LogKind::Login => "error log",
    };
    let is_access = gap.kind == LogKind::Access;
    let unseen = "Nothing that happens there is seen.";
    let (rank, title, detail) = match &gap.reason {
        GapReason::Off if gap.matters => {
            (85, format!("the {what} of {about} is switched off"), unseen.to_owned())
        }
        GapReason::Off => {
            let detail = "Requests for it are seen by nobody; that is usual for icons.";
            (15, format!("the {what} of {about} is switched off"), detail.to_owned())
        }
        GapReason::Missing => (85, format!("{about} has no {what}"), unseen.to_owned()),
        GapReason::Compressed(path) => {
            let detail =
                format!("{path} is compressed while it is written and cannot be followed.");
            (88, format!("the {what} of {about} is compressed at once"), detail)
        }
        GapReason::Syslog(to) => {
            let detail = format!("It is sent to `{to}`; gatewatch can watch the file it ends in.");
            (60, format!("the {what} of {about} goes to syslog"), detail)
        }
        GapReason::Program(command) => {
            let detail = format!("`{command}` takes it; gatewatch can watch the file it ends in.");
            (60, format!("the {what} of {about} goes to a program"), detail)
        }
        GapReason::Stream(to) => {
            let detail =
                format!("It goes to {to}, as in a container: pipe it in with path = \"-\".");
            (60, format!("the {what} of {about} goes to no file"), detail)
        }
    };
    let rank = if is_access { rank } else { rank.min(26) };
    let finding = Finding::new(rank, title, detail).at([gap.place.clone()]);
    match (gap.server, &gap.reason) {
        (Server::Caddy, GapReason::Missing) => {
            finding.fix(["log {", "    output file /var/log/caddy/access.log", "}"])
        }
        (Server::Nginx, GapReason::Off | GapReason::Compressed(_)) if is_access && gap.matters => {
            finding.fix(["access_log /var/log/nginx/access.log combined;"])
        }
        (Server::Apache, GapReason::Missing) => {
            finding.fix(["CustomLog ${APACHE_LOG_DIR}/access.log combined"])
        }
        _ => finding,
    }
}

/// Whose word about the client a server takes.
fn proxies(server: &ServerConfig, all: &mut Vec<Finding>) {
    let proxies = &server.proxies;
    let name = server.server.name();
    let everyone = proxies
        .trusted
        .iter()
        .find(|(net, _)| network(net).is_some_and(|net| net.prefix_len() == 0));
    if let Some((net, place)) = everyone {
        let title = format!("anyone may choose the address that {name} logs");
        let detail = format!(
            "{net} trusts every sender's header, so an attacker is logged under any address, and \
             blocking it hits whoever has it. Name your proxies only."
        );
        let fix = match server.server {
            Server::Apache => "RemoteIPInternalProxy 192.0.2.10   # the address of your proxy",
            _ => "set_real_ip_from 192.0.2.10;   # the address of your proxy",
        };
        all.push(Finding::new(93, title, detail).fix([fix]).at([place.clone()]));
    }
    if let Some((header, place)) = proxies.header.as_ref().filter(|_| proxies.trusted.is_empty()) {
        let finding = match server.server {
            Server::Apache if header != "PROXY protocol" => Finding::new(
                93,
                format!("anyone may choose the address that {name} logs"),
                format!("RemoteIPHeader {header} without a list of proxies believes everybody."),
            )
            .fix(["RemoteIPInternalProxy 192.0.2.10   # the address of your proxy"]),
            Server::Apache => return,
            _ => Finding::new(
                82,
                format!("real_ip_header {header} has no effect"),
                "No set_real_ip_from names a proxy, so the proxy is logged as the client of every \
                 request.",
            )
            .fix(["set_real_ip_from 192.0.2.10;   # the address of your proxy"]),
        };
        all.push(finding.at([place.clone()]));
    }
    let is_told = proxies.header.as_ref().is_some_and(|(header, _)| header == "proxy_protocol");
    if let Some(place) = proxies.proxy_protocol.as_ref().filter(|_| !is_told) {
        let detail = "The balancer names the client in the PROXY protocol, and the log shows the \
                      balancer.";
        let fix = [
            "set_real_ip_from 192.0.2.10;   # the address of your balancer",
            "real_ip_header proxy_protocol;",
        ];
        let title = "the clients behind the balancer are not logged";
        all.push(Finding::new(82, title, detail).fix(fix).at([place.clone()]));
    }
    if proxies.header.is_some() && !proxies.trusted.is_empty() && everyone.is_none() {
        let detail = "What it logs as the client is the client, not the proxy.";
        let title = format!("{name} itself finds the client behind your proxies");
        let places = proxies.trusted.iter().map(|(_, place)| place.clone());
        all.push(Finding::new(10, title, detail).at(places));
    }
}

/// Logs in which one inside address asks for nearly everything.
fn crowds(survey: &Survey) -> Vec<Finding> {
    let mut found = Vec::new();
    for watched in &survey.logs {
        let Some(peer) = watched.sample.as_ref().and_then(|sample| sample.crowd) else { continue };
        let path = &watched.log.path;
        let title = format!("nearly all requests in {path} come from {peer}");
        let detail = "That is a proxy: all rules about clients see one client only. Let the server \
                      look behind it.";
        let finding = Finding::new(83, title, detail);
        found.push(match watched.log.server {
            Server::Apache => finding.fix([
                "RemoteIPHeader X-Forwarded-For".to_owned(),
                format!("RemoteIPInternalProxy {peer}"),
                "(a2enmod remoteip)".to_owned(),
            ]),
            Server::Nginx => finding.fix([
                format!("set_real_ip_from {peer};"),
                "real_ip_header X-Forwarded-For;".to_owned(),
                "real_ip_recursive on;".to_owned(),
            ]),
            Server::Caddy | Server::System => finding,
        });
    }
    found
}

/// Parts of sites that ask for a password.
fn protected(server: &ServerConfig) -> Option<Finding> {
    let mut names: Vec<String> = Vec::new();
    let mut places = Vec::new();
    for site in &server.sites {
        for (path, place) in &site.protected {
            names.push(format!("{}{path}", site.name()));
            places.push(place.clone());
        }
    }
    if names.is_empty() {
        return None;
    }
    let detail = match server.server {
        Server::Nginx => {
            "Refused log-ins there are answers 401 with a user name. On other answers nginx logs the \
             name that was claimed, also where no password is asked for: it proves nothing."
        }
        _ => "Refused log-ins there are answers 401 with a user name.",
    };
    let title = format!("{} asks for passwords at {}", server.server.name(), names.join(", "));
    Some(Finding::new(12, title, detail).at(places))
}
