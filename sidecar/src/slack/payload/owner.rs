//! The workspace or organization that something belongs to.

use serde_json::{Value, json};

/// A workspace with both of Slack's ids: the workspace's own, and that of its organization, if any.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tenant<'a> {
    pub(crate) team: &'a str,
    pub(crate) enterprise: Option<&'a str>,
}

/// A workspace, and the organization it is in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) team: String,
    pub(crate) enterprise: Option<String>,
}

impl Owner {
    /// An org-wide installation has no workspace: it uses the organization's id.
    pub(crate) fn new(team: Option<&str>, enterprise: Option<&str>) -> Option<Self> {
        let given = |id: Option<&str>| id.filter(|id| !id.is_empty()).map(str::to_owned);
        let (team, enterprise) = (given(team), given(enterprise));
        let team = team.or_else(|| enterprise.clone())?;
        Some(Self { team, enterprise })
    }

    pub(crate) fn tenant(&self) -> Tenant<'_> {
        Tenant {
            team: &self.team,
            enterprise: self.enterprise.as_deref(),
        }
    }

    /// As arguments of a job.
    pub(crate) fn in_args(&self, mut args: Value) -> Value {
        args["team_id"] = json!(self.team);
        args["enterprise_id"] = json!(self.enterprise);
        args
    }

    pub(crate) fn of_args(args: &Value) -> Option<Self> {
        Self::new(args["team_id"].as_str(), args["enterprise_id"].as_str())
    }
}
