//! Columns of settings and figures.

use crate::store::{Card, Index, Settings, Stage, Symbol};
use crate::tables::{Field, Kind, Values};
use std::collections::HashMap;

/// Columns of settings and figures, added row by row.
#[derive(Default)]
pub struct Columns<'a> {
    settings: Vec<(String, Vec<Option<&'a str>>)>,
    setting_of: HashMap<(Option<Stage>, Symbol), usize>,
    setting_named: HashMap<String, usize>,
    figures: Vec<(Stage, Symbol, Vec<Option<f64>>)>,
    figure_of: HashMap<(Stage, Symbol), usize>,
    names: HashMap<Symbol, &'a str>,
}

impl<'a> Columns<'a> {
    /// Sets `settings` in row `row` of `height`, prefixed by the section of `stage` if given.
    pub fn settings(
        &mut self,
        row: usize,
        height: usize,
        stage: Option<Stage>,
        settings: &Settings,
        index: &'a Index,
    ) {
        for (key, value) in settings {
            let at = match self.setting_of.get(&(stage, *key)) {
                Some(at) => *at,
                None => {
                    let key_text = index.symbols.text(*key);
                    let name = match stage {
                        Some(stage) => format!("{}.{key_text}", stage.section()),
                        None => key_text.to_owned(),
                    };
                    let next = self.settings.len();
                    let at = *self.setting_named.entry(name.clone()).or_insert(next);
                    if at == next {
                        self.settings.push((name, vec![None; height]));
                    }
                    self.setting_of.insert((stage, *key), at);
                    at
                }
            };
            self.settings[at].1[row] = Some(index.symbols.text(*value));
        }
    }

    /// Sets the figures of `card` in row `row` of `height`.
    pub fn figures(&mut self, row: usize, height: usize, card: &Card, index: &'a Index) {
        for (name, value) in &card.figures {
            let next = self.figures.len();
            let at = *self.figure_of.entry((card.stage, *name)).or_insert(next);
            if at == next {
                self.names.insert(*name, index.symbols.text(*name));
                self.figures.push((card.stage, *name, vec![None; height]));
            }
            self.figures[at].2[row] = Some(*value);
        }
    }

    /// The settings not among `taken`, then the figures by stage, each named `stage: figure`.
    pub fn fields(mut self, taken: &[Field]) -> Vec<Field<'a>> {
        self.figures.sort_by_key(|figure| figure.0);
        let settings = self.settings.into_iter();
        let settings = settings.filter(|(name, _)| taken.iter().all(|field| field.name != *name));
        let settings = settings.map(|(name, values)| Field::new(name, Values::Setting(values)));
        let names = self.names;
        let figures = self.figures.into_iter().map(|(stage, name, values)| {
            Field::new(format!("{stage}: {}", names[&name]), Values::Float(values)).of(Kind::Figure)
        });
        settings.chain(figures).collect()
    }
}
