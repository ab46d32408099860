//! What is told about sources, in metrics and in the answer to "ready?": once a look.

use crate::engine::detect::{Finding, Reported};
use crate::engine::format::base_of;
use crate::serve::{ListenerState, SourceState};
use crate::source::listen::Refusal;
use crate::source::{Level, Notice, Wakeups};

use super::Run;
use super::intake::Intakes;
use super::troubles::Look;

impl Run {
    /// Looks at the files anew, and says how each source is.
    pub(super) fn look(&mut self, wakeups: &mut Wakeups) {
        for notice in self.pipeline.rescan() {
            self.tell_tampering(&notice);
            match notice.level() {
                Level::Debug => tracing::debug!("{notice}"),
                Level::Info => tracing::info!("{notice}"),
                Level::Warn => tracing::warn!("{notice}"),
            }
        }
        wakeups.watch(&self.pipeline.follower().directories());
        let formats: Vec<(String, String)> =
            self.pipeline.formats().map(|(name, format)| (name.into(), format.into())).collect();
        let mut looks = Vec::new();
        for (index, status) in self.pipeline.follower().status().iter().enumerate() {
            let format = formats.iter().find(|(name, _)| *name == status.name);
            let format = format.map_or("", |(_, format)| short_format(format));
            self.shared.metrics.set_source(&SourceState {
                source: &status.name,
                formats: &[format],
                files: status.files as u64,
                lag_bytes: status.lag_bytes,
                rotations: status.rotations,
                truncations: status.truncations,
                lost_bytes: status.lost_bytes,
                missing: status.missing,
                unreadable: status.unreadable.len() as u64,
            });
            if !status.missing {
                self.rotated.remove(&index);
            }
            let missing = status.missing.then(|| "no file matches its path".to_owned());
            let unreadable = status.unreadable.first().map(ToString::to_string);
            let is_between = unreadable.is_none() && self.rotated.contains(&index);
            let (source, problem) = (status.name.clone(), unreadable.or(missing));
            looks.push(Look { source, problem, is_between });
        }
        for (journal, ended) in self.pipeline.journals() {
            let format = formats.iter().find(|(name, _)| *name == journal.name);
            let format = format.map_or("", |(_, format)| short_format(format));
            let problem = journal.problem();
            self.shared.metrics.set_source(&SourceState {
                source: &journal.name,
                formats: &[format],
                files: u64::from(!ended),
                unreadable: u64::from(problem.is_some()),
                ..Default::default()
            });
            let problem = problem.map(|problem| format!("cannot read the journal: {problem}"));
            looks.push(Look { source: journal.name.clone(), problem, is_between: false });
        }
        self.look_at_listeners(&formats, &mut looks);
        if let Some((name, ended)) = self.pipeline.stdin() {
            let format = formats.last().map_or("", |(_, format)| short_format(format));
            let files = u64::from(!ended);
            let state =
                SourceState { source: name, formats: &[format], files, ..Default::default() };
            self.shared.metrics.set_source(&state);
        }
        looks.iter().for_each(|look| self.note(look));
        self.tell_deliveries();
    }

    /// A file that is not what it was is told, unless a rotation explains it.
    fn tell_tampering(&mut self, notice: &Notice) {
        let sources = self.pipeline.follower().status();
        let Some(source) = sources.get(notice.source).map(|status| status.name.clone()) else {
            return;
        };
        if notice.is_rotation() {
            self.rotated.insert(notice.source);
        }
        if let Some(detail) = notice.tampering() {
            let about = [&*source, &*notice.path.to_string_lossy()];
            let since = self.shared.clock.now();
            let what = Reported::Tamper;
            self.pipeline.report(&Finding { what, about: &about, detail: &detail, since });
        }
    }

    /// Says how a source is, on `/readyz` and to the rules.
    fn note(&mut self, look: &Look) {
        let now = self.shared.clock.now();
        let (what, about) = (Reported::Unreadable, &[&*look.source]);
        match (self.troubles.note(look, &self.shared.readiness, now), &look.problem) {
            (Some(since), Some(detail)) => {
                self.pipeline.report(&Finding { what, about, detail, since });
            }
            _ => self.pipeline.report_end(what, about),
        }
    }

    /// Tells the rules what the edge left about its receivers.
    fn tell_deliveries(&mut self) {
        let what = Reported::Delivery;
        for (channel, stuck) in self.shared.deliveries.all() {
            let about = &[&*channel];
            match stuck {
                Some(stuck) => {
                    let (detail, since) = (&*stuck.why, stuck.since);
                    self.pipeline.report(&Finding { what, about, detail, since });
                }
                None => self.pipeline.report_end(what, about),
            }
        }
    }

    fn look_at_listeners(&self, formats: &[(String, String)], looks: &mut Vec<Look>) {
        for inlet in self.pipeline.intakes().map(Intakes::inlets).unwrap_or_default() {
            let format = formats.iter().find(|(name, _)| *name == inlet.name);
            let format = format.map_or("", |(_, format)| short_format(format));
            self.shared.metrics.set_source(&SourceState {
                source: &inlet.name,
                formats: &[format],
                lag_bytes: inlet.inbox.waiting_bytes() as u64,
                ..SourceState::default()
            });
            let status = &inlet.status;
            let refused = status.refused();
            let refused: Vec<(&str, u64)> =
                Refusal::ALL.iter().map(|reason| reason.name()).zip(refused).collect();
            self.shared.metrics.set_listener(&ListenerState {
                source: &inlet.name,
                up: status.is_listening(),
                connections: status.connections(),
                refused: &refused,
                cut_lines: status.cut_lines(),
                unfinished: status.unfinished(),
                dropped: status.dropped(),
            });
            let quiet = (!status.is_listening()).then(|| "does not listen yet".to_owned());
            let (source, problem) = (inlet.name.clone(), status.problem().or(quiet));
            looks.push(Look { source, problem, is_between: false });
        }
    }
}

/// The name of a format without what made it, and without what its lines have told.
fn short_format(definition: &str) -> &str {
    let base = base_of(definition);
    match base.split_once(':') {
        Some(("auto", name)) => name,
        Some((kind, _)) => kind,
        None => base,
    }
}
