//! From an experiment to the graph of the stages it needs, including those of other experiments.

use super::circle::Chain;
use super::finished::{finished_flow, key_of_shipped};
use super::identity::identity;
use super::planned::{Member, Plan, Planned, Verdict};
use super::{reasons, stale_upstream};
use crate::config::{self, Loaded};
use crate::store::{Digests, Key, Manifest, Stage, StageOfRun, State, Store, Upstream};
use latent_align_stages::stages::{Made, Read, StageConfig};
use latent_align_stages::{Error, Result};
use std::path::Path;

/// Plans the experiment `loaded` against the contents of `store`.
///
/// # Errors
/// [`Error::Input`] if an input file, the finished flow, or an experiment that is read is missing or
/// invalid, and if experiments read each other in a circle.
pub fn make(loaded: &Loaded, store: &Store, digests: &mut Digests) -> Result<Plan> {
    let mut planner = Planner {
        store,
        digests,
        experiments: vec![Member {
            loaded: loaded.clone(),
            has_folder: true,
            nodes: Vec::new(),
            stages: Vec::new(),
            finished_flow: None,
        }],
        nodes: Vec::new(),
        chain: Chain::default(),
    };
    planner.given(0, Stage::PretrainFlow)?;
    for stage in Stage::ALL {
        planner.node(0, stage)?;
    }
    for member in &mut planner.experiments {
        let nodes = &planner.nodes;
        member.nodes.sort_by_key(|node| nodes[*node].key.stage);
        let flow = member.finished_flow.iter().map(|flow| StageOfRun {
            stage: flow.stage,
            fingerprint: flow.fingerprint.clone(),
        });
        let planned = member.nodes.iter().map(|node| StageOfRun {
            stage: nodes[*node].key.stage,
            fingerprint: nodes[*node].fingerprint.clone(),
        });
        member.stages = flow.chain(planned).collect();
    }
    Ok(Plan {
        experiments: planner.experiments,
        nodes: planner.nodes,
    })
}

struct Planner<'a> {
    store: &'a Store,
    digests: &'a mut Digests,
    experiments: Vec<Member>,
    nodes: Vec<Planned>,
    chain: Chain,
}

impl Planner<'_> {
    /// The index of the node for `stage` of the experiment `member`, planned with everything it reads;
    /// None if the experiment has no such stage.
    fn node(&mut self, member: usize, stage: Stage) -> Result<Option<usize>> {
        let planned = self.experiments[member].nodes.iter().copied();
        if let Some(node) = planned.clone().find(|n| self.nodes[*n].key.stage == stage) {
            return Ok(Some(node));
        }
        let experiment = &self.experiments[member].loaded.experiment;
        let seed = experiment.seed;
        let Some(config) = experiment.section(stage).map(|section| section.boxed()) else {
            return Ok(None);
        };
        if self.chain.holds(member, stage) {
            let file = |member: usize| self.experiments[member].loaded.file.as_path();
            return Err(self.chain.closed_by(member, stage, file));
        }
        self.chain.enter(member, stage);
        let upstream = self.upstream(member, config.as_ref())?;
        self.chain.leave();
        let key = key(config.as_ref(), seed, upstream, self.digests);
        let mut key = key.map_err(|e| self.within(member, e))?;
        key.quick = self.experiments[0].loaded.quick;
        let fingerprint = key.fingerprint();
        let same = |n: &Planned| n.key.stage == stage && n.fingerprint == fingerprint;
        let node = match self.nodes.iter().position(same) {
            Some(node) => node,
            None => {
                let verdict = self.verdict(member, &key)?;
                let name = self.experiments[member].name();
                let took = reasons::took_last(self.store, name, stage);
                self.nodes.push(Planned {
                    member,
                    config,
                    key,
                    fingerprint,
                    verdict,
                    took,
                });
                self.nodes.len() - 1
            }
        };
        self.experiments[member].nodes.push(node);
        Ok(Some(node))
    }

    /// Plans the artifacts that the stage `config` of the experiment `member` reads.
    fn upstream(&mut self, member: usize, config: &dyn StageConfig) -> Result<Vec<Upstream>> {
        let mut upstream = Vec::new();
        let mut others = Vec::new();
        for read in config.reads() {
            let key = key_of(config, &read);
            let home = match &read.experiment {
                Some(file) => self.other(file).map_err(|e| {
                    let e = e.under(&key);
                    self.within(member, e)
                })?,
                None => member,
            };
            if home != member {
                self.check_read(config, &read, member, home)
                    .map_err(|why| self.within(member, Error::input(format!("{key}: {why}"))))?;
            }
            match self.artifact(home, read.stage, read.role)? {
                Some(artifact) => upstream.push(artifact),
                None if read.optional => {}
                None => return Err(self.within(member, self.lacking(home, &read, &key))),
            }
            if read.experiment.is_some() {
                others.push((read, home));
            }
        }
        if !others.is_empty() {
            let made: Vec<Made> = (upstream.iter())
                .map(|upstream| self.made(upstream))
                .collect::<Result<_>>()?;
            for (read, home) in others {
                config.check_made(&read, &made).map_err(|why| {
                    let file = self.experiments[home].loaded.file.display();
                    let key = key_of(config, &read);
                    self.within(member, Error::input(format!("{key}: {file} {why}")))
                })?;
            }
        }
        Ok(upstream)
    }

    /// How `upstream` is made.
    fn made(&self, upstream: &Upstream) -> Result<Made> {
        let is = |node: &&Planned| {
            node.key.stage == upstream.stage && node.fingerprint == upstream.fingerprint
        };
        let role = upstream.role.to_owned();
        if let Some(Planned { key, .. }) = self.nodes.iter().find(is) {
            let inputs = key.inputs.iter();
            let read = key.upstream.iter();
            return Ok(Made {
                role,
                config: key.config.clone(),
                seed: key.seed,
                inputs: inputs
                    .map(|(key, _, file)| (key.clone(), file.digest.clone()))
                    .collect(),
                upstream: read
                    .map(|u| (u.role.to_owned(), u.fingerprint.clone()))
                    .collect(),
            });
        }
        if let Some(key) = key_of_shipped(&upstream.fingerprint) {
            // it need not be unpacked yet
            return Ok(Made {
                role,
                config: key.config,
                seed: key.seed,
                inputs: Vec::new(),
                upstream: Vec::new(),
            });
        }
        let manifest = Manifest::read(&upstream.dir)?;
        let (inputs, read) = (manifest.inputs.into_iter(), manifest.upstream.into_iter());
        Ok(Made {
            role,
            config: manifest.config,
            seed: manifest.seed,
            inputs: inputs.map(|input| (input.key, input.digest)).collect(),
            upstream: read
                .map(|u| (u.role.unwrap_or_default(), u.fingerprint))
                .collect(),
        })
    }

    /// Checks that the stage `config` of the experiment `member` can read `read` from `home`.
    fn check_read(
        &self,
        config: &dyn StageConfig,
        read: &Read,
        member: usize,
        home: usize,
    ) -> std::result::Result<(), String> {
        let [own, other] = [member, home].map(|m| &self.experiments[m].loaded);
        let (own, there) = (own.experiment.sections(), other.experiment.sections());
        let wrong = config.check_read(read, &own, &there);
        wrong.map_err(|why| format!("{} {why}", other.file.display()))
    }

    /// The artifact of `stage` of the experiment `member`, in the role `role`.
    fn artifact(
        &mut self,
        member: usize,
        stage: Stage,
        role: &'static str,
    ) -> Result<Option<Upstream>> {
        if let Some(given) = self.given(member, stage)? {
            return Ok(Some(Upstream { role, ..given }));
        }
        let node = self.node(member, stage)?.map(|node| &self.nodes[node]);
        Ok(node.map(|node| Upstream {
            role,
            stage,
            dir: self.store.artifact(stage, &node.fingerprint),
            fingerprint: node.fingerprint.clone(),
        }))
    }

    /// The finished artifact that the experiment `member` names instead of `stage`, if any.
    fn given(&mut self, member: usize, stage: Stage) -> Result<Option<Upstream>> {
        let home = &self.experiments[member];
        let Some(flow) = &home.loaded.experiment.flow else {
            return Ok(None);
        };
        if stage != Stage::PretrainFlow {
            return Ok(None);
        }
        let flow = match &home.finished_flow {
            Some(found) => found.clone(),
            None => finished_flow(self.store, flow, self.digests, home.loaded.quick)
                .map_err(|e| self.within(member, e))?,
        };
        self.experiments[member].finished_flow = Some(flow.clone());
        Ok(Some(flow))
    }

    /// The index of the experiment in `file`, with the seed and device of the requested experiment.
    fn other(&mut self, file: &Path) -> Result<usize> {
        let same = |m: &Member| same_file(&m.loaded.file, file);
        let found = self.experiments.iter().skip(1).position(same);
        if let Some(found) = found {
            return Ok(found + 1);
        }
        config::refuse_pipe(file)?;
        let asked = &self.experiments[0].loaded;
        let mut loaded = config::load_read(file, asked)?;
        let other = &mut loaded.experiment;
        if other.seed != asked.experiment.seed {
            other.seed = asked.experiment.seed;
            // Results of its own seed keep the folder of its name.
            other.name = format!("{}.seed{}", other.name, other.seed);
        }
        other.device.clone_from(&asked.experiment.device);
        other.devices.clone_from(&asked.experiment.devices);
        config::check(other, file)?;
        let namesake = self.experiments.iter().position(|m| m.name() == other.name);
        if let Some(namesake) = namesake {
            let namesake = &self.experiments[namesake].loaded.file;
            if !same_file(namesake, file) {
                return Err(Error::input(format!(
                    "{}: its name is `{}`, as that of {}; give one of them another name",
                    file.display(),
                    other.name,
                    namesake.display()
                )));
            }
        }
        let is_changed = !loaded.overrides.set.is_empty();
        self.experiments.push(Member {
            loaded,
            // with overrides it is not the experiment whose name it has
            has_folder: namesake.is_none() && !is_changed,
            nodes: Vec::new(),
            stages: Vec::new(),
            finished_flow: None,
        });
        Ok(self.experiments.len() - 1)
    }

    fn lacking(&self, home: usize, read: &Read, key: &str) -> Error {
        let section = read.stage.section();
        Error::input(format!(
            "{key}: {} has no `{section}` section, which this reads; add one",
            self.experiments[home].loaded.file.display(),
        ))
    }

    /// `error` with the file of the experiment, unless it is the requested one.
    fn within(&self, member: usize, error: Error) -> Error {
        match member {
            0 => error,
            other => error.under(&self.experiments[other].loaded.file.display().to_string()),
        }
    }

    fn verdict(&mut self, member: usize, key: &Key) -> Result<Verdict> {
        let runs = |u: &Upstream| {
            let mut running = self.nodes.iter().filter(|n| n.must_run());
            running.any(|n| n.key.stage == u.stage && n.fingerprint == u.fingerprint)
        };
        let upstream: Vec<String> = (key.upstream.iter())
            .filter(|u| runs(u))
            .map(|u| format!("{} runs again", u.name()))
            .collect();
        Ok(match self.store.state(key, self.digests)? {
            State::Whole(manifest) if upstream.is_empty() => match stale_upstream(&manifest, key) {
                Some(reason) => Verdict::Run(vec![reason]),
                None => Verdict::UpToDate(manifest),
            },
            State::Whole(_) => Verdict::Run(upstream),
            State::Damaged(why) | State::Unreadable(why) => {
                Verdict::Run(vec![format!("its artifact is damaged: {why}")])
            }
            State::Absent => {
                let name = self.experiments[member].name();
                Verdict::Run(reasons::since_last(self.store, name, key))
            }
        })
    }
}

/// The key of the stage `config` that requests `read`.
fn key_of(config: &dyn StageConfig, read: &Read) -> String {
    let section = config.stage().section();
    match read.key {
        "" => section.to_owned(),
        key => format!("{section}.{key}"),
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn key(
    config: &dyn StageConfig,
    seed: u64,
    upstream: Vec<Upstream>,
    digests: &mut Digests,
) -> Result<Key> {
    let stage = config.stage();
    let (config, paths) = identity(config)?;
    let mut inputs = Vec::new();
    for (key, path) in paths {
        let record = digests.of(&path);
        let record = record.map_err(|e| e.under(&format!("{}.{key}", stage.section())))?;
        inputs.push((key.to_owned(), path, record));
    }
    Ok(Key {
        stage,
        config,
        seed,
        inputs,
        upstream,
        quick: false,
    })
}
