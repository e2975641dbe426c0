//! Validates settings and converts them to the stored form.

use super::effective::{Branches, Settings, Updates};
use super::route::routes;
use super::value::{channels, is_id_of, list, names, one_of, setting, short, truth};
use crate::error::Result;
use crate::event::read::{Kind, ON_REQUEST};
use serde_json::Value;
use std::collections::BTreeMap;

/// Some of the changes that are only reported where they are wanted.
fn changes(name: &str, value: &Value) -> Result<Vec<String>> {
    let changes = list(name, value)?;
    match changes.iter().find(|it| !ON_REQUEST.contains(&it.as_str())) {
        Some(change) => {
            let names = ON_REQUEST.join(", ");
            Err(setting(
                name,
                format!("has \"{}\", which is none of {names}", short(change)),
            ))
        }
        None => Ok(changes),
    }
}

impl Settings {
    /// Changes one setting; null restores the default.
    pub(super) fn change(&mut self, name: &str, value: &Value) -> Result<()> {
        let default = Self::default();
        match name {
            "channels" => self.channels = channels(name, value)?,
            "event_channels" => return self.change_event_channels(value),
            "branches" => {
                self.branches = one_of(
                    name,
                    value,
                    &Branches::ALL,
                    Branches::name,
                    default.branches,
                )?
            }
            "labels" => {
                let labels = list(name, value)?;
                let is_without = |label: &&String| label.trim_start_matches('~').starts_with('-');
                if let Some(label) = labels.iter().find(is_without) {
                    let label = short(label);
                    let problem =
                        format!("has \"{label}\": a route leaves labels out, by without_labels");
                    return Err(setting(name, problem));
                }
                let labels = labels.into_iter().map(|label| label.replace('~', ""));
                self.labels = names(name, labels.collect())?;
            }
            "all_labels" => self.all_labels = truth(name, value, default.all_labels)?,
            "only_broken_pipelines" => {
                self.only_broken_pipelines = truth(name, value, default.only_broken_pipelines)?
            }
            "only_changed_pipelines" => {
                self.only_changed_pipelines = truth(name, value, default.only_changed_pipelines)?
            }
            "child_pipelines" => {
                self.child_pipelines = truth(name, value, default.child_pipelines)?
            }
            "updates" => {
                self.updates = one_of(name, value, &Updates::ALL, Updates::name, default.updates)?
            }
            "own_actions" => self.own_actions = truth(name, value, default.own_actions)?,
            "muted_authors" => {
                let authors = list(name, value)?;
                let authors = authors
                    .into_iter()
                    .map(|author| author.strip_prefix('@').unwrap_or(&author).to_owned());
                self.muted_authors = names(name, authors.collect())?;
            }
            "routes" => self.routes = routes(name, value)?,
            "all_routes" => self.all_routes = truth(name, value, default.all_routes)?,
            "changes" => self.changes = changes(name, value)?,
            "mentions" => self.mentions = truth(name, value, default.mentions)?,
            "user_groups" => return self.change_user_groups(value),
            _ => return Err(setting(short(name), "is not a setting")),
        }
        Ok(())
    }

    /// The whole map, as groups have no fixed names: one that is left out has no user group any more.
    fn change_user_groups(&mut self, value: &Value) -> Result<()> {
        self.user_groups = BTreeMap::new();
        let groups = match value {
            Value::Null => return Ok(()),
            Value::Object(groups) => groups,
            _ => return Err(setting("user_groups", "is not an object")),
        };
        for (group, value) in groups {
            let path = format!("user_groups.{}", short(group));
            match value {
                Value::Null => {}
                Value::String(id) if is_id_of(id, "S") && !group.trim().is_empty() => {
                    self.user_groups.insert(group.clone(), id.clone());
                }
                _ => return Err(setting(path, "is not the id of a user group in Slack")),
            }
        }
        let groups: Vec<String> = self.user_groups.keys().cloned().collect();
        names("user_groups", groups)?;
        Ok(())
    }

    fn change_event_channels(&mut self, value: &Value) -> Result<()> {
        let events = match value {
            Value::Null => {
                self.event_channels = BTreeMap::new();
                return Ok(());
            }
            Value::Object(events) => events,
            _ => return Err(setting("event_channels", "is not an object")),
        };
        for (event, value) in events {
            let path = format!("event_channels.{}", short(event));
            if Kind::of_name(event).is_none() {
                return Err(setting(path, "is not an event"));
            }
            let channels = channels(&path, value)?;
            match channels.is_empty() {
                true => self.event_channels.remove(event),
                false => self.event_channels.insert(event.clone(), channels),
            };
        }
        Ok(())
    }
}
