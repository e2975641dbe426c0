//! The gates of one flag, with their values as Flipper reads them.

use super::definition;
use super::tables::Tables;
use crate::error::Result;
use lockstep_server::{View, datum};
use std::collections::HashSet;

/// The suffix of an actor's value that excludes the actor from an enabled flag.
pub(super) const OPT_OUT: &str = ":opt_out";

/// Percentages of actors are counted in thousandths of a percent.
const SCALE: f64 = 1_000.0;
const SHARES: u32 = 100_000;

/// A flag as stored.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Gates {
    /// It has a row of its own, so its default does not count.
    pub(super) is_persisted: bool,
    /// An undefined flag is off by default.
    pub(super) is_defined: bool,
    pub(super) default_enabled: bool,
    pub(super) boolean: bool,
    pub(super) actors: HashSet<String>,
    pub(super) groups: Vec<String>,
    pub(super) percentage_of_actors: f64,
    pub(super) percentage_of_time: f64,
    /// On for actors with certain properties, which only the application knows. Without one there is nothing to know.
    pub(super) expression: Option<String>,
    /// The number of its gate rows, including those without effect.
    pub(super) rows: usize,
}

/// The states, as Flipper calls them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    On,
    Off,
    Conditional,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Conditional => "conditional",
        }
    }
}

/// A flag while its rows are read, oldest first.
pub(super) struct Rows {
    gates: Gates,
    /// The percentages of actors and of time. If there are several rows where one is expected, the oldest counts.
    numbers: [Option<f64>; 2],
}

impl Rows {
    /// Begins with what holds without rows.
    pub(super) fn of(gates: Gates) -> Self {
        Self {
            gates,
            numbers: [None, None],
        }
    }

    /// A gate's key and value; no key for the row of the flag itself.
    pub(super) fn add(&mut self, gate: Option<String>, value: Option<String>) {
        let gates = &mut self.gates;
        gates.rows += usize::from(gate.is_some());
        match (gate.as_deref(), value) {
            (None, _) => gates.is_persisted = true,
            (Some("boolean"), value) => {
                gates.boolean |= matches!(value.as_deref(), Some("true" | "1"));
            }
            (Some("actors"), Some(actor)) => {
                gates.actors.insert(actor);
            }
            (Some("groups"), Some(group)) => gates.groups.push(group),
            (Some("expression"), Some(expression)) => gates.expression = Some(expression),
            (Some("percentage_of_actors"), value) => {
                self.numbers[0].get_or_insert(percentage(value.as_deref()));
            }
            (Some("percentage_of_time"), value) => {
                self.numbers[1].get_or_insert(percentage(value.as_deref()));
            }
            _ => {}
        }
    }

    pub(super) fn gates(self) -> Gates {
        let [of_actors, of_time] = self.numbers.map(Option::unwrap_or_default);
        Gates {
            percentage_of_actors: of_actors,
            percentage_of_time: of_time,
            ..self.gates
        }
    }
}

impl Gates {
    /// Reads a flag with the rights of the tables' owner, like a foreign-key check: users affected by a flag need not be able to
    /// read all flags. Without tables a flag has its default.
    pub(super) fn read(name: &str, tables: Option<&Tables>, view: View) -> Result<Self> {
        let default = definition::default_of(name, view)?;
        let gates = Self {
            is_defined: default.is_some(),
            default_enabled: default.unwrap_or_default(),
            ..Self::default()
        };
        let Some(tables) = tables else {
            return Ok(gates);
        };
        let mut rows = Rows::of(gates);
        tables.rows(&tables.read, view, &[datum(name)], |row| {
            rows.add(row.get(1), row.get(2));
        });
        Ok(rows.gates())
    }

    pub(super) fn is_by_default(&self) -> bool {
        self.default_enabled && !self.is_persisted
    }

    pub(super) fn state(&self) -> State {
        if self.is_by_default() || self.boolean || self.percentage_of_time == 100.0 {
            State::On
        } else if self.actors.is_empty()
            && self.groups.is_empty()
            && self.percentage_of_actors <= 0.0
            && self.percentage_of_time <= 0.0
            && self.expression.is_none()
        {
            State::Off
        } else {
            State::Conditional
        }
    }

    /// Whether it is on for any actor at all. An opted-out actor, which Flipper counts for the state, does not count.
    pub(super) fn are_open_for_anybody(&self) -> bool {
        self.is_by_default()
            || self.boolean
            || self.percentage_of_actors > 0.0
            || self.percentage_of_time > 0.0
            || !self.groups.is_empty()
            || self.expression.is_some()
            || self.actors.iter().any(|actor| !actor.ends_with(OPT_OUT))
    }

    /// Whether the flag is on for an actor; None if only its expression could tell. `time` is random in [0, 1); `is_in_group` says
    /// whether the actor is in a group.
    pub(super) fn are_open(
        &self,
        name: &str,
        actor: Option<&str>,
        time: impl FnOnce() -> f64,
        is_in_group: impl FnMut(&String) -> Result<bool>,
    ) -> Result<Option<bool>> {
        if self.is_by_default() {
            return Ok(Some(true));
        }
        if actor.is_some_and(|actor| self.has_opted_out(actor)) {
            return Ok(Some(false));
        }
        let is_open = self.boolean
            || actor
                .is_some_and(|actor| self.actors.contains(actor) || self.is_in_share(name, actor))
            || (self.percentage_of_time > 0.0 && time() < self.percentage_of_time / 100.0)
            || (actor.is_some() && any(&self.groups, is_in_group)?);
        Ok(match is_open {
            false if self.expression.is_some() => None,
            is_open => Some(is_open),
        })
    }

    /// Whether a percentage or a group turns it on for an actor for whom it has just been turned off.
    pub(super) fn stays_open(
        &self,
        name: &str,
        actor: &str,
        is_in_group: impl FnMut(&String) -> Result<bool>,
    ) -> Result<bool> {
        if self.has_opted_out(actor) {
            return Ok(false);
        }
        let is_in_share = self.percentage_of_time > 0.0 || self.is_in_share(name, actor);
        Ok(is_in_share || any(&self.groups, is_in_group)?)
    }

    pub(super) fn has_opted_out(&self, actor: &str) -> bool {
        !self.actors.is_empty() && self.actors.contains(&format!("{actor}{OPT_OUT}"))
    }

    fn is_in_share(&self, name: &str, actor: &str) -> bool {
        if self.percentage_of_actors <= 0.0 {
            return false;
        }
        let mut hash = crc32fast::Hasher::new();
        hash.update(name.as_bytes());
        hash.update(actor.as_bytes());
        f64::from(hash.finalize() % SHARES) < self.percentage_of_actors * SCALE
    }
}

fn any(groups: &[String], mut is_in_group: impl FnMut(&String) -> Result<bool>) -> Result<bool> {
    for group in groups {
        if is_in_group(group)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Reads a number like Ruby does: the leading part of the text, with a fraction only if there is a point anywhere.
fn percentage(value: Option<&str>) -> f64 {
    let value = value.unwrap_or_default();
    let text = value.trim_start();
    let sign = usize::from(text.starts_with(['-', '+']));
    let digits = |from: usize| {
        let rest = text.get(from..).unwrap_or_default();
        rest.bytes().take_while(u8::is_ascii_digit).count()
    };
    let mut end = sign + digits(sign);
    if value.contains('.') && text.get(end..).is_some_and(|rest| rest.starts_with('.')) {
        let fraction = digits(end + 1);
        if fraction > 0 {
            end += 1 + fraction;
        }
    }
    // Ruby writes small numbers as 1.0e-05.
    if value.contains('.')
        && text
            .get(end..)
            .is_some_and(|rest| rest.starts_with(['e', 'E']))
    {
        let signs = text
            .get(end + 1..)
            .unwrap_or_default()
            .starts_with(['-', '+']);
        let exponent = digits(end + 1 + usize::from(signs));
        if exponent > 0 {
            end += 1 + usize::from(signs) + exponent;
        }
    }
    text.get(..end)
        .and_then(|number| number.parse().ok())
        .unwrap_or_default()
}
