//! `gatewatch init`: from the web servers' own configuration to ours.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use jiff::tz::TimeZone;

use super::output::{Output, say};
use super::{Refused, exit};
use crate::config::{Config, DEFAULT_PATH};
use crate::escape::{cut, visible};
use crate::io::{Clock as _, SystemClock};
use crate::survey::findings::Finding;
use crate::survey::model::{LogKind, Shape};
use crate::survey::rights::Reader;
use crate::survey::sample::Shown;
use crate::survey::{Options, Survey, Watched, config};

/// Reads the configuration of nginx, Apache and Caddy with all that it includes, the rotation and
/// permissions of the logs, and their newest lines; writes a configuration with comments, and says
/// what would be missed.
///
/// The configuration goes to standard output and the report to standard error, unless a file is
/// named.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    gatewatch init > gatewatch.toml\n  \
    gatewatch init --write                     to /etc/gatewatch/gatewatch.toml\n  \
    gatewatch init --from /srv/nginx/nginx.conf\n  \
    gatewatch init --root /mnt/server          another machine's disk")]
pub(super) struct Args {
    /// The web server's main configuration file [default: all in the usual places]
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Where the machine's files are; every path is taken to begin there
    #[arg(long, value_name = "DIRECTORY", default_value = "/")]
    root: PathBuf,
    /// Write the configuration to this file
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write it to /etc/gatewatch/gatewatch.toml
    #[arg(long, conflicts_with = "output")]
    write: bool,
    /// Replace a file that is there
    #[arg(long)]
    force: bool,
}

/// Columns of the report.
const WIDTH: usize = 100;

/// Findings told at length.
const TOLD_MAX: usize = 24;

pub(super) fn run(args: &Args) -> Result<u8> {
    let root = std::path::absolute(&args.root).context("the root is no path")?;
    if !root.is_dir() {
        let root = visible(&root.display().to_string());
        return Err(Refused::no_input(format!("{root} is no directory; name one with --root")));
    }
    let target = match &args.output {
        None if args.write => Some(root.join(DEFAULT_PATH.trim_start_matches('/'))),
        named => named.clone(),
    };
    if let Some(target) = target.as_ref().filter(|target| !args.force && target.exists()) {
        let target = visible(&target.display().to_string());
        return Err(Refused::cannot_create(format!(
            "{target} is there already; --force replaces it, --output names another file"
        )));
    }
    let from = args.from.as_deref().map(|from| below(from, &root)).transpose()?;
    let options =
        Options { root: root.clone(), from, zone: TimeZone::system(), now: SystemClock.now() };
    let survey = Survey::of(&options);
    if survey.is_empty() {
        say(&report(&survey, target.as_deref()));
        return Ok(exit::FOUND);
    }
    let text = config::text(&survey, &state(&root));
    check(&text)?;
    let mut out = Output::new();
    match &target {
        Some(target) => {
            store(target, &text, args.force)?;
            out.line(&report(&survey, Some(target)))?;
            if !give(target, &survey.reader) {
                let name = &survey.reader.name;
                let shown = visible(&target.display().to_string());
                out.line(&format!(
                    "      chgrp {name} {shown}    so that user {name} may read it"
                ))?;
            }
        }
        None => {
            out.write(text.as_bytes())?;
            out.flush()?;
            say(&report(&survey, None));
        }
    }
    out.flush()?;
    Ok(exit::OK)
}

/// The file as it is called below the root.
fn below(from: &Path, root: &Path) -> Result<String> {
    let from = std::path::absolute(from).context("--from is no path")?;
    let inside = match from.strip_prefix(root) {
        Ok(inside) => Path::new("/").join(inside),
        Err(_) => from,
    };
    let there = root.join(inside.strip_prefix("/").unwrap_or(&inside));
    fs::File::open(&there).with_context(|| {
        format!("cannot read {}; check --from and --root", visible(&there.display().to_string()))
    })?;
    Ok(inside.to_string_lossy().into_owned())
}

/// Where the state goes: where the unit file has it, if this user may write there.
fn state(root: &Path) -> PathBuf {
    let usual = root.join("var/lib/gatewatch");
    let folder = usual.ancestors().find(|folder| folder.exists());
    let writable = folder
        .is_some_and(|folder| rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok());
    if writable || usual.exists() { usual } else { PathBuf::from("gatewatch-data") }
}

/// What is written must be taken: a mistake here is one of this program.
fn check(text: &str) -> Result<()> {
    let texts = [(PathBuf::from("gatewatch.toml"), text.to_owned())];
    Config::from_texts(&texts).map(drop).map_err(|problems| super::config::complain(&problems))
}

/// Writes the configuration, readable for its owner and group. What is replaced stays whole until
/// the new text is there.
fn store(target: &Path, text: &str, force: bool) -> Result<()> {
    let shown = visible(&target.display().to_string());
    if let Some(folder) = target.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder of {shown}"))?;
    }
    let mut name = target.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let made = OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&new);
    let written = made.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // A link refuses what is there, whoever made it meanwhile.
        if force { fs::rename(&new, target) } else { fs::hard_link(&new, target) }
    });
    // After a rename there is nothing left to take away.
    let _ = fs::remove_file(&new);
    written.with_context(|| format!("cannot write {shown}"))
}

/// Lets the user that runs gatewatch read the file, through its group; false where that is left to do.
fn give(target: &Path, reader: &Reader) -> bool {
    if reader.is_me() {
        return true;
    }
    let group = reader.group().map(rustix::fs::Gid::from_raw);
    group.is_some_and(|group| rustix::fs::chown(target, None, Some(group)).is_ok())
}

/// What was found, for people.
fn report(survey: &Survey, target: Option<&Path>) -> String {
    let mut lines = Vec::new();
    for server in &survey.servers {
        let (files, sites) = (server.files, server.sites.len());
        let files = if files == 1 { "1 file".to_owned() } else { format!("{files} files") };
        let sites = if sites == 1 { "1 site".to_owned() } else { format!("{sites} sites") };
        let main = server.main.display();
        lines.push(format!("{}: {main}, {files} read, {sites}", server.server.name()));
    }
    if survey.is_empty() {
        let root = survey.root.display();
        lines.push(format!("no log of nginx, Apache, Caddy or sshd was found below {root}"));
        lines.push("name the server's main file with --from, or the logs in a [[source]]".into());
    }
    for watched in &survey.logs {
        lines.push(String::new());
        log(watched, &mut lines);
    }
    if !survey.findings.is_empty() {
        lines.push(String::new());
        lines.push(format!("{} findings, the most dangerous first", survey.findings.len()));
    }
    for (index, finding) in survey.findings.iter().take(TOLD_MAX).enumerate() {
        lines.push(String::new());
        tell(index + 1, finding, &mut lines);
    }
    if let Some(rest) = survey.findings.len().checked_sub(TOLD_MAX).filter(|rest| 0 < *rest) {
        lines.push(format!("\n  and {rest} more"));
    }
    if !survey.is_empty() {
        lines.push(String::new());
        let file = target.map_or_else(|| "FILE".to_owned(), |path| path.display().to_string());
        if target.is_some() {
            lines.push(format!("written: {file}"));
        }
        lines.push(format!("next: gatewatch check -c {file}"));
    }
    // Configuration files and logs are both text of others.
    let safe: Vec<String> = lines.iter().flat_map(|line| line.split('\n')).map(visible).collect();
    safe.join("\n")
}

/// A log with its newest lines.
fn log(watched: &Watched, lines: &mut Vec<String>) {
    let log = &watched.log;
    let names = watched.names().join(" ");
    lines.push(format!("{}  {names}", log.path).trim_end().to_owned());
    let Some(sample) = &watched.sample else {
        let why = match (&watched.obstacle, watched.files.is_empty()) {
            (_, true) => "not there yet",
            (Some(_), false) => "cannot be read by this user",
            (None, false) => "only compressed files are there",
        };
        lines.push(format!("  {why}"));
        return;
    };
    let format = match watched.shape() {
        Shape::Auto => {
            let found = sample.definition.strip_prefix("auto:").unwrap_or(&sample.definition);
            if sample.read == 0 {
                "format auto".to_owned()
            } else {
                format!("format auto: {found}")
            }
        }
        Shape::Named(name) => format!("format {name}"),
        Shape::Written(_) if log.layout.name.is_empty() => "format as written out there".to_owned(),
        Shape::Written(_) => format!("format {}, as defined there", log.layout.name),
    };
    if sample.lines == 0 {
        lines.push(format!("  {format}; empty"));
        return;
    }
    lines.push(format!("  {format}; {} of the last {} lines read", sample.read, sample.lines));
    table(&sample.shown, log.kind, lines);
}

/// Lines in columns, none of which may grow beyond its share.
fn table(rows: &[Shown], kind: LogKind, lines: &mut Vec<String>) {
    let what = if kind == LogKind::Access { "request" } else { "message" };
    let head = ["time", "client", "user", "status", what].map(str::to_owned);
    let rows = rows.iter().map(|row| {
        let row = [&row.time, &row.client, &row.user, &row.status, &row.what];
        row.map(|cell| if cell.is_empty() { "-".to_owned() } else { visible(cell) })
    });
    let mut all = vec![head];
    all.extend(rows);
    let widths = [24, 39, 16, 6, WIDTH];
    let width = |column: usize| {
        let longest = all.iter().map(|row| crate::escape::columns(&row[column])).max().unwrap_or(0);
        longest.min(widths[column])
    };
    let widths: Vec<usize> = (0..5).map(width).collect();
    let before = widths[..4].iter().sum::<usize>() + 4 * 2 + 4;
    for row in &all {
        let mut line = "    ".to_owned();
        for (cell, width) in row.iter().zip(&widths).take(4) {
            let cell = cut(cell, *width);
            let blanks = width.saturating_sub(crate::escape::columns(&cell)) + 2;
            line.push_str(&cell);
            line.push_str(&" ".repeat(blanks));
        }
        line.push_str(&cut(&row[4], WIDTH.saturating_sub(before).max(20)));
        lines.push(line);
    }
}

fn tell(number: usize, finding: &Finding, lines: &mut Vec<String>) {
    let level = finding.level().name();
    lines.extend(wrapped(&finding.title, &format!("{number:>3}  {level:<8} "), 14));
    for line in finding.detail.split('\n') {
        lines.extend(wrapped(line, &" ".repeat(14), 16));
    }
    for line in &finding.fix {
        // To be pasted: never broken.
        lines.push(format!("{}> {line}", " ".repeat(14)));
    }
    let places: Vec<String> = finding.places.iter().map(ToString::to_string).collect();
    let (shown, rest) = places.split_at(places.len().min(3));
    let more = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    if !shown.is_empty() {
        lines.push(format!("{}at {}{more}", " ".repeat(14), shown.join(", ")));
    }
}

/// `text` in lines of at most [`WIDTH`] columns behind `head`, the next ones behind blanks.
fn wrapped(text: &str, head: &str, indent: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = head.to_owned();
    let mut is_empty = true;
    for word in text.split(' ') {
        if !is_empty && WIDTH < line.chars().count() + 1 + word.chars().count() {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    lines.push(line);
    lines
}
