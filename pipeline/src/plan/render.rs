//! A plan as text.

use super::planned::{Plan, Verdict};
use crate::config::{Loaded, MARK};
use crate::tables::columns;

impl Plan {
    /// Name and file of the requested experiment, and whether its figures are results.
    pub fn heading(&self) -> String {
        let Loaded {
            experiment,
            file,
            quick,
            ..
        } = &self.experiments[0].loaded;
        let mark = match quick {
            true => format!(", {MARK}"),
            false => String::new(),
        };
        format!("{} ({}){mark}", experiment.name, file.display())
    }

    /// One line per stage, with further reasons below.
    pub fn render(&self) -> String {
        let mut rows = Vec::new();
        let mut row = |stage: String, fingerprint: &str, verdict: &str, reason: &str| {
            let cells = [&format!("  {stage}"), fingerprint, verdict, reason];
            rows.push(cells.map(str::to_owned).to_vec());
        };
        for (number, experiment) in self.experiments.iter().enumerate() {
            if let Some(flow) = &experiment.finished_flow {
                row(
                    self.title_of(number, flow.stage),
                    &flow.fingerprint,
                    "given",
                    "",
                );
            }
        }
        for planned in &self.nodes {
            let mut stage = self.title(planned);
            let mut fingerprint = planned.fingerprint.as_str();
            match &planned.verdict {
                Verdict::UpToDate(_) => row(stage, fingerprint, "up to date", ""),
                Verdict::Run(reasons) => {
                    let mut verdict = "run";
                    for reason in reasons {
                        row(
                            std::mem::take(&mut stage),
                            std::mem::take(&mut fingerprint),
                            std::mem::take(&mut verdict),
                            reason,
                        );
                    }
                }
            }
        }
        columns(&rows)
    }
}
