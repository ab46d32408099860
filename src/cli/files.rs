//! Reads log files on all cores: what `scan` and `parse` share.
//!
//! ```text
//!  files ─▶ blocks of whole lines ─▶ workers (parse, and what the command adds) ─▶ in order again
//! ```
//!
//! Of several files the one whose next lines are the oldest is read next, so that rules see the
//! lines of all servers in the order in which things happened.
//!
//! Invariant: at most [`IN_FLIGHT`] blocks for each worker are held at a time.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use jiff::tz::TimeZone;

use super::exit;
use super::output::say;
use super::turns::Turns;
use crate::engine::batch::{EventBatch, Origin};
use crate::engine::enrich::Enricher;
use crate::engine::format::{FormatSet, FormatState, base_of, detect};
use crate::engine::parse::{Parser, Text};
use crate::engine::time::TimeReader;
use crate::escape::visible;
use crate::report::ScannedFile;
use crate::source::{LineBlocks, open_input};
use crate::units::Timestamp;

/// Bytes read at a time: small enough for a core's cache, large enough to be worth a hand-over.
const BLOCK_BYTES: usize = 256 << 10;

/// Longer lines lose their rest.
const MAX_LINE_BYTES: usize = 64 << 10;

/// Blocks held for each worker.
const IN_FLIGHT: usize = 3;

/// What to read, and how.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Files, or `-`.
    pub(super) paths: Vec<PathBuf>,
    /// `auto`, or a definition of [`FormatSet`].
    pub(super) format: String,
    /// Zone of times without one.
    pub(super) zone: TimeZone,
    /// Time of reading.
    pub(super) now: Timestamp,
    /// Empty lines are events too.
    pub(super) keep_empty: bool,
    /// Machine that the events are said to come from.
    pub(super) host: String,
    /// Threads that parse.
    pub(super) workers: usize,
    /// The files are logs of a source of the configuration, and their events have its ids.
    pub(super) named: Option<Named>,
}

/// A source of the configuration.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) source: String,
    /// Site of lines without a virtual host.
    pub(super) site: String,
}

/// One file while it is read.
struct Input {
    path: PathBuf,
    blocks: LineBlocks<Box<dyn Read + Send>>,
    next: Option<Text>,
    next_time: Timestamp,
    /// The formats as the lines before `next` have left them.
    formats: FormatSet,
    modified: Timestamp,
    zone: TimeZone,
    /// There are other files, whose lines may be older.
    in_company: bool,
    /// Why it could not be read to its end, and the exit code that says so.
    problem: Option<String>,
    code: u8,
}

struct Job {
    number: u64,
    file: usize,
    text: Text,
    formats: Arc<Mutex<FormatSet>>,
    /// What the blocks before, which others may be reading, tell about this one.
    state: FormatState,
    modified: Timestamp,
}

/// A worker's answer about one block.
pub(super) struct Done<T> {
    number: u64,
    /// Index of the file.
    pub(super) file: usize,
    /// The events; hand the batch back to be filled again.
    pub(super) batch: EventBatch,
    /// What the command made of them.
    pub(super) made: T,
}

/// What a reading of all files came to.
pub(super) struct Finished<W> {
    /// Each file, in the order it was named.
    pub(super) files: Vec<ScannedFile>,
    /// What the workers have made.
    pub(super) states: Vec<W>,
    /// The exit code: another than 0 when a file could not be read to its end.
    pub(super) code: u8,
}

/// Reads all files of `plan`. Each worker makes a `W` and calls `work` on each batch; `take` gets
/// the results in order. `progress` is told how many bytes were read.
///
/// A file that breaks off is told and used as far as it goes.
pub(super) fn read<W, T: Send>(
    plan: &Plan,
    enricher: &Arc<Enricher>,
    make: impl Fn() -> W + Sync,
    work: impl Fn(&mut W, &mut EventBatch) -> T + Sync,
    mut take: impl FnMut(&Done<T>) -> Result<()>,
    mut progress: impl FnMut(u64),
) -> Result<Finished<W>>
where
    W: Send,
{
    let mut inputs = Vec::new();
    for path in &plan.paths {
        inputs.push(Input::open(path, plan)?);
    }
    let mut reports: Vec<ScannedFile> = inputs.iter().map(Input::report).collect();
    std::thread::scope(|scope| {
        let (jobs, queue) = sync_channel::<Job>(plan.workers * IN_FLIGHT);
        let (answers, results) = sync_channel::<Done<T>>(plan.workers * IN_FLIGHT);
        let queue = Arc::new(Mutex::new(queue));
        let spare = Arc::new(Mutex::new(Vec::<EventBatch>::new()));
        let turns = Arc::new(Turns::new(&enricher.logins));
        let mut workers = Vec::new();
        for _ in 0..plan.workers {
            let (queue, answers) = (Arc::clone(&queue), answers.clone());
            let (spare, turns) = (Arc::clone(&spare), Arc::clone(&turns));
            let (make, work) = (&make, &work);
            workers.push(scope.spawn(move || {
                let mut state = make();
                run_worker(&queue, &answers, &spare, &turns, plan, enricher, &mut state, work);
                state
            }));
        }
        drop(answers);
        let result = drive(
            plan,
            &mut inputs,
            &mut reports,
            jobs,
            &results,
            &spare,
            &mut take,
            &mut progress,
        );
        // Hanging up lets the workers end, also after an error.
        drop(results);
        let states = workers.into_iter().map(|worker| match worker.join() {
            Ok(state) => state,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        let states: Vec<W> = states.collect();
        let code = inputs.iter().map(|input| input.code).max().unwrap_or(exit::OK);
        result.map(|()| Finished { files: reports, states, code })
    })
}

#[expect(clippy::too_many_arguments, reason = "the two ends of the loop, borrowed apart")]
fn drive<T>(
    plan: &Plan,
    inputs: &mut [Input],
    reports: &mut [ScannedFile],
    jobs: SyncSender<Job>,
    results: &Receiver<Done<T>>,
    spare: &Mutex<Vec<EventBatch>>,
    take: &mut impl FnMut(&Done<T>) -> Result<()>,
    progress: &mut impl FnMut(u64),
) -> Result<()> {
    let formats: Vec<Arc<Mutex<FormatSet>>> =
        inputs.iter().map(|input| Arc::new(Mutex::new(input.formats.clone()))).collect();
    let (mut sent, mut taken) = (0u64, 0u64);
    let mut waiting: BTreeMap<u64, Done<T>> = BTreeMap::new();
    let mut jobs = Some(jobs);
    loop {
        while let Some(sender) = &jobs
            && sent - taken < (plan.workers * IN_FLIGHT) as u64
        {
            let Some((file, text, state)) = oldest(inputs, reports, spare) else {
                jobs = None;
                break;
            };
            progress(text.bytes.len() as u64);
            reports[file].bytes += text.bytes.len() as u64;
            let (formats, modified) = (Arc::clone(&formats[file]), inputs[file].modified);
            let job = Job { number: sent, file, text, formats, state, modified };
            sender.send(job).context("a worker ended early")?;
            sent += 1;
        }
        if sent == taken && jobs.is_none() {
            return Ok(());
        }
        let done = results.recv().context("the workers ended early")?;
        waiting.insert(done.number, done);
        while let Some(done) = waiting.remove(&taken) {
            taken += 1;
            reports[done.file].lines += done.batch.len() as u64;
            take(&done)?;
            lock(spare).push(done.batch);
        }
    }
}

/// The block whose lines are the oldest, of all files, and what the blocks before it tell.
fn oldest(
    inputs: &mut [Input],
    reports: &mut [ScannedFile],
    spare: &Mutex<Vec<EventBatch>>,
) -> Option<(usize, Text, FormatState)> {
    let with_lines = inputs.iter().enumerate().filter(|(_, input)| input.next.is_some());
    let (index, _) = with_lines.min_by_key(|(_, input)| input.next_time)?;
    let text = inputs[index].next.take()?;
    let state = inputs[index].formats.state();
    let buffer = lock(spare).last_mut().map(EventBatch::take_bytes).unwrap_or_default();
    inputs[index].advance(buffer, &text);
    reports[index].problem.clone_from(&inputs[index].problem);
    Some((index, text, state))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[expect(clippy::too_many_arguments, reason = "what all workers share, and what is its own")]
fn run_worker<W, T>(
    queue: &Mutex<Receiver<Job>>,
    answers: &SyncSender<Done<T>>,
    spare: &Mutex<Vec<EventBatch>>,
    turns: &Turns,
    plan: &Plan,
    enricher: &Arc<Enricher>,
    state: &mut W,
    work: &(impl Fn(&mut W, &mut EventBatch) -> T + Sync),
) {
    // One parser a file; a scan of very many files keeps only those in use.
    let mut parsers: BTreeMap<usize, Parser> = BTreeMap::new();
    loop {
        let Ok(job) = lock(queue).recv() else { return };
        if 64 < parsers.len() {
            parsers.clear();
        }
        let parser = parsers.entry(job.file).or_insert_with(|| {
            let times = TimeReader::new(plan.zone.clone(), job.modified);
            let mut parser = Parser::new(lock(&job.formats).clone(), times, Arc::clone(enricher));
            parser.keep_empty = plan.keep_empty;
            parser
        });
        let mut batch = lock(spare).pop().unwrap_or_default();
        parser.set_state(&job.state);
        parser.fill(&mut batch, job.text);
        turns.complete(job.number, &mut batch, parser.format_name());
        let made = work(state, &mut batch);
        let done = Done { number: job.number, file: job.file, batch, made };
        if answers.send(done).is_err() {
            return;
        }
    }
}

impl Input {
    fn open(path: &Path, plan: &Plan) -> Result<Self> {
        let reader = open_input(path)?;
        let metadata = std::fs::metadata(path).ok();
        let modified =
            metadata.as_ref().and_then(|data| data.modified().ok()).map_or(plan.now, |time| {
                let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                Timestamp(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
            });
        let blocks = LineBlocks::new(reader, path, BLOCK_BYTES, MAX_LINE_BYTES);
        let definition = if plan.format == "auto" { "combined" } else { &plan.format };
        let formats = FormatSet::from_definition(definition)?;
        let mut input = Self {
            path: path.to_owned(),
            blocks,
            next: None,
            next_time: Timestamp(0),
            formats,
            modified,
            zone: plan.zone.clone(),
            in_company: 1 < plan.paths.len(),
            problem: None,
            code: exit::OK,
        };
        let mut origin = Origin {
            source: if path == Path::new("-") {
                "stdin".into()
            } else {
                path.display().to_string()
            },
            path: if path == Path::new("-") { String::new() } else { path.display().to_string() },
            host: plan.host.clone(),
            ..Origin::default()
        };
        let mut read_at = plan.now;
        if let Some(Named { source, site }) = &plan.named {
            (origin.source, origin.site) = (source.clone(), site.clone());
            // A line without a time gets the same one whenever it is read.
            read_at = modified;
        }
        let first = Text {
            origin: Arc::new(origin),
            bytes: Vec::new(),
            from: 0,
            truncated_last: false,
            read_at,
        };
        input.advance(Vec::new(), &first);
        if plan.format == "auto"
            && let Some(text) = &input.next
        {
            let mut times = TimeReader::new(plan.zone.clone(), modified);
            let definition = detect(&text.bytes, &mut times);
            input.formats = FormatSet::from_definition(&definition)?;
            if input.in_company {
                input.next_time = input.first_time();
            }
        }
        Ok(input)
    }

    /// Reads the block behind `before`; its origin is the same, with the fingerprint filled in.
    fn advance(&mut self, buffer: Vec<u8>, before: &Text) {
        self.formats.skim(&before.bytes);
        let block = match self.blocks.next_block(buffer) {
            Ok(Some(block)) => block,
            Ok(None) => return,
            Err(error) => return self.break_off(&error),
        };
        let mut origin = Arc::clone(&before.origin);
        if origin.fingerprint != block.fingerprint.0 {
            let (fingerprint, wide) = (block.fingerprint.0, block.encoding.is_wide());
            let known = Origin { fingerprint, wide, ..(*origin).clone() };
            origin = Arc::new(known);
        }
        self.next = Some(Text {
            origin,
            bytes: block.bytes,
            from: block.from,
            truncated_last: block.truncated_last,
            read_at: before.read_at,
        });
        if self.in_company {
            self.next_time = self.first_time();
        }
    }

    /// The rest of the file cannot be read.
    fn break_off(&mut self, error: &io::Error) {
        let (reason, code) = match error.raw_os_error() {
            Some(_) => (error.to_string(), exit::IO),
            // Only a decompressor fails without the operating system.
            None => (format!("it is cut or damaged ({error})"), exit::DATA),
        };
        let name = visible(&self.path.display().to_string());
        say(&format!("gatewatch: {name}: {reason}; what was read before is used"));
        (self.problem, self.code) = (Some(reason), code);
    }

    /// Time of the first line that has one.
    fn first_time(&self) -> Timestamp {
        let Some(text) = &self.next else { return Timestamp(u64::MAX) };
        let lines = text.bytes.split_inclusive(|byte| *byte == b'\n').take(8);
        let length = lines.map(<[u8]>::len).sum();
        let times = TimeReader::new(self.zone.clone(), self.modified);
        let mut parser = Parser::new(self.formats.clone(), times, Arc::default());
        let mut batch = EventBatch::default();
        let head = Text { bytes: text.bytes[..length].to_vec(), ..text.clone() };
        parser.fill(&mut batch, head);
        let mut known = batch.events().filter(|event| !event.row().time_is_read);
        known.next().map_or(Timestamp(0), |event| event.row().time)
    }

    fn report(&self) -> ScannedFile {
        let definition = self.formats.definition();
        let format = base_of(&definition);
        let format = format.strip_prefix("auto:").unwrap_or(format).to_owned();
        let name = self.path.display().to_string();
        ScannedFile { name, lines: 0, bytes: 0, format, problem: self.problem.clone() }
    }
}

/// Bytes of all files on disk, for the progress bar; 0 where it cannot be known.
pub(super) fn total_bytes(paths: &[PathBuf]) -> u64 {
    let sizes = paths.iter().map(|path| std::fs::metadata(path).map(|data| data.len()));
    sizes.sum::<io::Result<u64>>().unwrap_or(0)
}
