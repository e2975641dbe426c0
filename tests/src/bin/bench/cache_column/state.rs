//! The rows at the start of a workload.
//!
//! PostgreSQL's statistics decide how well the PL/pgSQL triggers perform. If the tables are analyzed while no integration is
//! active, the triggers assume that a partial index on active rows is empty, look up each project through it, and become
//! quadratic: over ten minutes for 100,000 rows. That hazard is real, but measuring it would flatter lockstep, whose plans do not
//! depend on statistics. So the tables are analyzed once, with half of the trackers active, and only then brought to the
//! workload's state. For the same reason `integrations` is never empty: every other project has a chat integration.

use anyhow::{Result, ensure};
use lockstep_tests::host::{self, Layout};
use postgres::Client;

use crate::server::Server;

/// Extra projects, for warming up a session.
pub(super) const SPARE: u32 = 100;

/// The kinds of trackers. A project has at most one of each, so there are enough kinds for ten.
pub(super) const KINDS: [&str; 10] = [
    "Integrations::Jira",
    "Integrations::Redmine",
    "Integrations::Bugzilla",
    "Integrations::CustomIssueTracker",
    "Integrations::Ewm",
    "Integrations::Youtrack",
    "Integrations::Clickup",
    "Integrations::PhorgeIntegration",
    "Integrations::Linear",
    "Integrations::Zentao",
];

/// Which trackers exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trackers {
    Absent,
    /// One per project.
    OneInactive,
    OneActive,
    /// Two per project, the first of them active.
    OneOfTwoActive,
    /// Ten per project, for a tenth of the projects.
    TenInactive,
    TenActive,
}

impl Trackers {
    pub(super) fn is_ten(self) -> bool {
        matches!(self, Self::TenInactive | Self::TenActive)
    }

    /// How many trackers a project has, including those that only exist when the tables are analyzed.
    pub(super) fn of_project(self) -> usize {
        match self {
            Self::Absent | Self::OneInactive | Self::OneActive => 1,
            Self::OneOfTwoActive => 2,
            Self::TenInactive | Self::TenActive => 10,
        }
    }

    /// Which trackers are active, as a condition.
    fn active(self) -> &'static str {
        match self {
            Self::Absent | Self::OneInactive | Self::TenInactive => "false",
            Self::OneActive | Self::TenActive => "true",
            Self::OneOfTwoActive => "type_new = 'Integrations::Jira'",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::OneInactive => "one_inactive",
            Self::OneActive => "one_active",
            Self::OneOfTwoActive => "one_of_two_active",
            Self::TenInactive => "ten_inactive",
            Self::TenActive => "ten_active",
        }
    }
}

/// A database to copy from: its tables, its trackers, and how many rows will be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) layout: Layout,
    pub(super) trackers: Trackers,
    pub(super) rows: u32,
}

impl State {
    pub(super) fn template(self) -> String {
        format!(
            "{}_{}_{}",
            layout_name(self.layout),
            self.trackers.name(),
            self.rows
        )
    }

    /// How many projects have measured trackers. The spare ones come after them.
    fn projects(self) -> u32 {
        if self.trackers.is_ten() {
            self.rows / 10
        } else {
            self.rows
        }
    }

    pub(super) fn create(self, server: &mut Server) -> Result<()> {
        eprintln!("bench: preparing {}", self.template());
        server.create_template(&self.template(), |client| self.fill(client))
    }

    fn fill(self, client: &mut Client) -> Result<()> {
        host::create(client, self.layout)?;
        client.batch_execute(&self.insert_projects())?;
        client.batch_execute(&self.insert_integrations())?;
        client.batch_execute("analyze")?;
        if self.trackers == Trackers::Absent {
            client.batch_execute("delete from integrations where category = 'issue_tracker'")?;
        } else {
            let active = self.trackers.active();
            client.batch_execute(&format!(
                "update integrations set active = not active \
                 where category = 'issue_tracker' and active is distinct from ({active})"
            ))?;
        }
        // Rewritten: without traces of how the table was filled, but with its statistics.
        client.batch_execute("vacuum full integrations")?;
        self.check_ids(client)
    }

    /// The id of a project's tracker; the first has number 1. Every other project has a chat integration before its trackers.
    pub(super) fn tracker_id(self, project: &str, number: &str) -> String {
        let trackers = self.trackers.of_project();
        format!("({project} - 1) * {trackers} + {project} / 2 + {number}")
    }

    fn check_ids(self, client: &mut Client) -> Result<()> {
        if self.trackers == Trackers::Absent {
            return Ok(());
        }
        let query = format!(
            "select count(*) from integrations \
             left join ( \
               select {} as id from generate_series(1, {}) as project, generate_series(1, {}) as number \
             ) as expected on expected.id = integrations.id \
             where integrations.category = 'issue_tracker' and expected.id is null",
            self.tracker_id("project", "number"),
            self.projects() + SPARE,
            self.trackers.of_project(),
        );
        let others: i64 = client.query_one(&query, &[])?.get(0);
        ensure!(
            others == 0,
            "{others} trackers have another id than their project's"
        );
        Ok(())
    }

    /// The cache columns start out correct. Half of the columns in the wide layout have values.
    fn insert_projects(self) -> String {
        let (columns, values) = match self.layout {
            Layout::Narrow | Layout::Older => ("", ""),
            Layout::Wide | Layout::Services => (
                ", project_namespace_id, organization_id, creator_id, created_at, last_activity_at, description, \
                 import_url, runners_token_encrypted, repository_size_limit, storage_version, jobs_cache_index, \
                 resolve_outdated_diff_discussions, packages_enabled, autoclose_referenced_issues",
                ", 1000000 + id, 1, 1, '2024-01-01', '2024-01-01', repeat('text ', 20), \
                 'https://example.com/group/project-' || id || '.git', repeat('0', 60), 10000000, 2, 1, \
                 true, true, true",
            ),
        };
        let any_active = matches!(
            self.trackers,
            Trackers::OneActive | Trackers::OneOfTwoActive | Trackers::TenActive
        );
        format!(
            "insert into projects (id, name, path, namespace_id, updated_at, \
                                   has_external_issue_tracker, has_external_wiki{columns}) \
             select id, 'project ' || id, 'project-' || id, 1, '2024-01-01', \
                    {any_active} and id <= {}, false{values} \
             from generate_series(1, {}) as id",
            self.projects() + SPARE,
            self.rows + SPARE,
        )
    }

    /// Half of the trackers are active for now.
    fn insert_integrations(self) -> String {
        let kinds: Vec<String> = KINDS
            .iter()
            .take(self.trackers.of_project())
            .map(|kind| format!("'{kind}'"))
            .collect();
        format!(
            "insert into integrations (project_id, type_new, category, active, created_at, updated_at) \
             select id, kind, category, active, '2024-01-01', '2024-01-01' \
             from generate_series(1, {}) as id \
             cross join lateral ( \
               select 'Integrations::Slack', 'chat', true, 0 where id % 2 = 0 \
               union all \
               select kind, 'issue_tracker', (id + number) % 2 = 0, number \
               from unnest(array[{}]) with ordinality as kinds (kind, number) where id <= {} \
             ) as planned (kind, category, active, number) \
             order by id, number",
            self.rows + SPARE,
            kinds.join(", "),
            self.projects() + SPARE,
        )
    }
}

/// The layout's part in names.
pub(super) fn layout_name(layout: Layout) -> &'static str {
    match layout {
        Layout::Narrow => "narrow",
        Layout::Older => "older",
        Layout::Wide => "wide",
        Layout::Services => "services",
    }
}
