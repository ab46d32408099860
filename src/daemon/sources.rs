//! What is told about sources, in metrics and in the answer to "ready?": once a look.

use crate::engine::format::base_of;
use crate::serve::{ListenerState, SourceState};
use crate::source::listen::Refusal;
use crate::source::{Level, Wakeups};

use super::Run;
use super::intake::Intakes;

impl Run {
    /// Looks at the files anew, and says how each source is.
    pub(super) fn look(&mut self, wakeups: &mut Wakeups) {
        for notice in self.pipeline.rescan() {
            match notice.level() {
                Level::Debug => tracing::debug!("{notice}"),
                Level::Info => tracing::info!("{notice}"),
                Level::Warn => tracing::warn!("{notice}"),
            }
        }
        wakeups.watch(&self.pipeline.follower().directories());
        let formats: Vec<(String, String)> =
            self.pipeline.formats().map(|(name, format)| (name.into(), format.into())).collect();
        for status in self.pipeline.follower().status() {
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
            let check = format!("source {}", status.name);
            match status.unreadable.first() {
                Some(file) => self.shared.readiness.fail(&check, &file.to_string()),
                None if status.missing => {
                    self.shared.readiness.fail(&check, "no file matches its path");
                }
                None => self.shared.readiness.pass(&check),
            }
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
            let check = format!("source {}", journal.name);
            match problem {
                Some(problem) => {
                    let problem = format!("cannot read the journal: {problem}");
                    self.shared.readiness.fail(&check, &problem);
                }
                None => self.shared.readiness.pass(&check),
            }
        }
        self.look_at_listeners(&formats);
        if let Some((name, ended)) = self.pipeline.stdin() {
            let format = formats.last().map_or("", |(_, format)| short_format(format));
            let files = u64::from(!ended);
            let state =
                SourceState { source: name, formats: &[format], files, ..Default::default() };
            self.shared.metrics.set_source(&state);
        }
    }

    fn look_at_listeners(&self, formats: &[(String, String)]) {
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
            let check = format!("source {}", inlet.name);
            match status.problem() {
                Some(problem) => self.shared.readiness.fail(&check, &problem),
                None if status.is_listening() => self.shared.readiness.pass(&check),
                None => self.shared.readiness.fail(&check, "does not listen yet"),
            }
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
