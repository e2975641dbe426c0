//! Databases shaped like GitLab's, from sql/host.

use anyhow::{Context, Result};
use postgres::Client;

macro_rules! host_sql {
    ($name:literal) => {
        ($name, include_str!(concat!("../../sql/host/", $name)))
    };
}

type Script = (&'static str, &'static str);

const OWNERS: Script = host_sql!("owners.sql");
const PROJECTS: Script = host_sql!("projects.sql");
const PROJECTS_NARROW: Script = host_sql!("projects_narrow.sql");
const INTEGRATIONS: Script = host_sql!("integrations.sql");
const SLACK: Script = host_sql!("slack.sql");
const SLACK_18_6: Script = host_sql!("slack_18_6.sql");
const WORKFLOWS: Script = host_sql!("workflows.sql");
const CLUSTERS: Script = host_sql!("clusters.sql");
const SERVICES: Script = host_sql!("services.sql");

/// Merge requests and their deployments.
pub const DEPLOYMENTS: Script = host_sql!("deployments.sql");
/// Group members, and accounts linked with Slack.
pub const MEMBERS: Script = host_sql!("members.sql");
/// The application's own triggers on `integrations`, as GitLab has them.
pub const APPLICATION_TRIGGERS: Script = host_sql!("application_triggers.sql");
/// The application's own triggers on `services`, as GitLab had them until 14.x.
pub const SERVICES_TRIGGERS: Script = host_sql!("services_triggers.sql");
/// What a careful DBA would write instead: statement triggers with transition tables.
pub const STATEMENT_TRIGGERS: Script = host_sql!("statement_triggers.sql");
/// 100,000 projects with integrations of every kind.
pub const DEMO_DATA: Script = host_sql!("demo.sql");
/// A few rows for the examples in the documentation.
pub const SAMPLE: Script = host_sql!("sample.sql");
/// 300,000 workflows of those projects.
pub const DEMO_WORKFLOWS: Script = host_sql!("demo_workflows.sql");

/// Which tables a database has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// The tables of GitLab 18: `projects` with 85 columns and 8 indexes, `integrations` and its children, Slack, and the agent
    /// platform's workflows and catalog.
    Wide,
    /// `Wide` with a `projects` of 7 columns and only its primary key.
    Narrow,
    /// `Narrow` with the Slack app's tables of GitLab 18.6: scopes without an organization, links without an owner.
    Older,
    /// The tables before 14.x: `services` instead of `integrations`, with an integer key.
    Services,
}

impl Layout {
    fn scripts(self) -> &'static [Script] {
        match self {
            Self::Wide => &[OWNERS, PROJECTS, INTEGRATIONS, SLACK, WORKFLOWS, CLUSTERS],
            Self::Narrow => &[
                OWNERS,
                PROJECTS_NARROW,
                INTEGRATIONS,
                SLACK,
                WORKFLOWS,
                CLUSTERS,
            ],
            Self::Older => &[
                OWNERS,
                PROJECTS_NARROW,
                INTEGRATIONS,
                SLACK_18_6,
                WORKFLOWS,
                CLUSTERS,
            ],
            Self::Services => &[OWNERS, PROJECTS, SERVICES],
        }
    }
}

/// Creates the tables of a layout in an empty database, with no rows except one organization, user and namespace, each with id 1.
pub fn create(client: &mut Client, layout: Layout) -> Result<()> {
    layout
        .scripts()
        .iter()
        .try_for_each(|script| run(client, *script))
}

/// Runs one script of sql/host.
pub fn run(client: &mut Client, (name, text): Script) -> Result<()> {
    client
        .batch_execute(text)
        .with_context(|| format!("sql/host/{name}"))
}
