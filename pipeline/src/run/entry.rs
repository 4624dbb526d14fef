//! Compares a run's folder with the run to execute.

use crate::store::{RunFolder, Stage, StageOfRun};

/// Contents of the folder from an earlier run of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Nothing.
    Nothing,
    /// A run of the same artifacts.
    Same,
    /// A run of some of the artifacts and no others.
    Part,
    /// A run of all the artifacts and more.
    More,
    /// A run of other artifacts, or an unreadable record.
    Other,
}

impl Before {
    /// Compares the contents of `folder` with a run of `stages`.
    pub fn of(folder: &RunFolder, stages: &[StageOfRun]) -> Self {
        let found = match folder.record() {
            Ok(Some(record)) => record.stages,
            Ok(None) => linked(folder, stages),
            Err(_) => return Self::Other,
        };
        let within = |some: &[StageOfRun], all: &[StageOfRun]| some.iter().all(|s| all.contains(s));
        match (within(&found, stages), within(stages, &found)) {
            _ if found.is_empty() => Self::Nothing,
            (true, true) => Self::Same,
            (true, false) => Self::Part,
            (false, true) => Self::More,
            (false, false) => Self::Other,
        }
    }
}

/// The artifacts that a folder without a record links to.
fn linked(folder: &RunFolder, stages: &[StageOfRun]) -> Vec<StageOfRun> {
    let of = |stage| {
        let own = stages.iter().find(|s| s.stage == stage);
        if let Some(own) = own.filter(|own| folder.leads_to(own)) {
            return Some(own.clone());
        }
        let place = folder.linked(stage)?;
        let name = place.file_name()?.to_string_lossy();
        Some(StageOfRun {
            stage,
            fingerprint: name.into_owned(),
        })
    };
    Stage::ALL.into_iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{RunRecord, Store};

    fn stages(all: &[(Stage, &str)]) -> Vec<StageOfRun> {
        let each = all.iter().map(|(stage, fingerprint)| StageOfRun {
            stage: *stage,
            fingerprint: (*fingerprint).to_owned(),
        });
        each.collect()
    }

    #[test]
    fn a_folder_is_compared_by_its_record_or_else_by_its_links() {
        use Stage::{EstimateNll, PretrainFlow, TrainAutoencoder};
        let dir = tempfile::tempdir().unwrap();
        let store = Store::at(dir.path());
        let all = stages(&[(PretrainFlow, "aa"), (TrainAutoencoder, "bb")]);
        for (name, found, expected) in [
            ("none", vec![], Before::Nothing),
            ("same", all.clone(), Before::Same),
            ("part", stages(&[(PretrainFlow, "aa")]), Before::Part),
            (
                "more",
                [all.clone(), stages(&[(EstimateNll, "cc")])].concat(),
                Before::More,
            ),
            (
                "other",
                stages(&[(PretrainFlow, "aa"), (TrainAutoencoder, "cc")]),
                Before::Other,
            ),
        ] {
            let folder = RunFolder::of(&store, name);
            for stage in &found {
                let artifact = store.artifact(stage.stage, &stage.fingerprint);
                folder.link(stage.stage, &artifact).unwrap();
            }
            assert_eq!(Before::of(&folder, &all), expected, "links of {name}");
            let record = RunRecord::starting(name, "a.yaml".as_ref(), 0, "cpu").with_stages(found);
            folder.write_record(&record).unwrap();
            assert_eq!(Before::of(&folder, &all), expected, "record of {name}");
            folder.write("run.json", "{").unwrap();
            assert_eq!(Before::of(&folder, &all), Before::Other);
        }
    }
}
