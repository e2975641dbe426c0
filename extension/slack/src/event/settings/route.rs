//! Routes of an integration: where events go that fulfil conditions. Each condition that is given must hold.

use super::value::{channels, list, names, setting, short};
use crate::error::Result;
use crate::event::read::Kind;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

const MOST_ROUTES: usize = 50;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Route {
    /// None in a subscription, which has one channel.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) channels: Vec<String>,
    /// By name; empty for all that are not confidential.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) events: Vec<String>,
    /// Patterns, here and for paths and environments: `*` stands for anything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) branches: Vec<String>,
    /// One of them, here and in the other lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) labels: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) without_labels: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) authors: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) without_authors: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) paths: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) environments: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) severities: Vec<String>,
    /// Only such ones if true, no such ones if false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) drafts: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tags: Option<bool>,
    /// None is false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) child_pipelines: Option<bool>,
}

impl Route {
    /// Confidential events, and those that the application cannot switch, go only where they are named.
    pub(crate) fn takes(&self, kind: Kind, is_confidential: bool) -> bool {
        match self.events.is_empty() {
            true => !is_confidential && kind.column().is_some(),
            false => self.names(kind),
        }
    }

    pub(crate) fn names(&self, kind: Kind) -> bool {
        self.events.iter().any(|event| event == kind.name())
    }

    /// All conditions of a route, and its channels.
    fn read(path: &str, fields: &Map<String, Value>) -> Result<Self> {
        let mut route = Self::default();
        for (name, value) in fields {
            let path = format!("{path}.{}", short(name));
            let texts = || names(&path, list(&path, value)?);
            let without = |sign: char| {
                let texts = list(&path, value)?.into_iter();
                let texts = texts.map(|text| text.trim_start_matches(sign).to_owned());
                names(&path, texts.collect())
            };
            match name.as_str() {
                "channels" => route.channels = channels(&path, value)?,
                "events" => {
                    route.events = texts()?;
                    if let Some(event) = route.events.iter().find(|it| Kind::of_name(it).is_none())
                    {
                        let problem = format!("has \"{}\", which is not an event", short(event));
                        return Err(setting(path, problem));
                    }
                }
                "branches" => route.branches = texts()?,
                "labels" => {
                    let (without, with): (Vec<String>, Vec<String>) = without('~')?
                        .into_iter()
                        .partition(|it| it.starts_with('-'));
                    // As it is written for GitLab's own search: -bug, -~bug.
                    let without = without
                        .iter()
                        .map(|it| it[1..].trim_start_matches('~').to_owned());
                    route.without_labels.extend(without);
                    route.labels = with;
                }
                "without_labels" => route.without_labels.extend(without('~')?),
                "authors" => route.authors = without('@')?,
                "without_authors" => route.without_authors = without('@')?,
                "paths" => route.paths = texts()?,
                "environments" => route.environments = texts()?,
                "severities" => route.severities = texts()?,
                "drafts" => route.drafts = flag(&path, value)?,
                "tags" => route.tags = flag(&path, value)?,
                "child_pipelines" => route.child_pipelines = flag(&path, value)?,
                _ => return Err(setting(path, "is not part of a route")),
            }
        }
        Ok(route)
    }
}

fn flag(path: &str, value: &Value) -> Result<Option<bool>> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(flag) => Ok(Some(*flag)),
        _ => Err(setting(path, "is not a boolean")),
    }
}

/// Of an integration: each has channels.
pub(super) fn routes(name: &str, value: &Value) -> Result<Vec<Route>> {
    let routes = conditions(name, value)?;
    match routes.iter().position(|route| route.channels.is_empty()) {
        Some(place) => Err(setting(format!("{name}[{place}]"), "has no channels")),
        None => Ok(routes),
    }
}

/// Routes that need no channels.
pub(crate) fn conditions(name: &str, value: &Value) -> Result<Vec<Route>> {
    let routes = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(routes) => routes,
        _ => return Err(setting(name, "is not a list")),
    };
    if routes.len() > MOST_ROUTES {
        return Err(setting(name, format!("has more than {MOST_ROUTES} routes")));
    }
    let routes = routes.iter().enumerate().map(|(place, route)| {
        let path = format!("{name}[{place}]");
        match route {
            Value::Object(fields) => Route::read(&path, fields),
            _ => Err(setting(path, "is not an object")),
        }
    });
    routes.collect()
}
