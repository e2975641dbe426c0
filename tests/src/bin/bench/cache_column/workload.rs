//! The statements that are measured.

use super::state::{KINDS, Trackers};

/// A statement on the integrations of a range of projects.
#[derive(Clone, Copy, Debug)]
pub(super) struct Workload {
    pub(super) name: &'static str,
    /// The rows at the start.
    pub(super) trackers: Trackers,
    action: Action,
    /// Whether it changes ten rows per project, for a tenth of the projects.
    pub(super) is_ten: bool,
    /// The new value of each project's cache column; None if it does not change.
    value: Option<bool>,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    /// Inserts this many active trackers per project.
    Insert(usize),
    SetActive(bool),
    /// Activates the second tracker of each project.
    ActivateSecond,
    Delete,
    DeleteProjects,
    /// Writes a column that no cache column depends on.
    Unrelated,
}

const fn workload(
    name: &'static str,
    trackers: Trackers,
    action: Action,
    value: Option<bool>,
) -> Workload {
    Workload {
        name,
        trackers,
        action,
        is_ten: matches!(trackers, Trackers::TenInactive | Trackers::TenActive)
            || matches!(action, Action::Insert(10)),
        value,
    }
}

pub(super) const INSERT: Workload =
    workload("insert", Trackers::Absent, Action::Insert(1), Some(true));
pub(super) const ACTIVATE: Workload = workload(
    "activate",
    Trackers::OneInactive,
    Action::SetActive(true),
    Some(true),
);
pub(super) const DEACTIVATE: Workload = workload(
    "deactivate",
    Trackers::OneActive,
    Action::SetActive(false),
    Some(false),
);
pub(super) const DELETE: Workload =
    workload("delete", Trackers::OneActive, Action::Delete, Some(false));
pub(super) const CASCADE_DELETE: Workload = workload(
    "cascade_delete",
    Trackers::OneActive,
    Action::DeleteProjects,
    None,
);
pub(super) const TEN_INSERT: Workload = workload(
    "ten_insert",
    Trackers::Absent,
    Action::Insert(10),
    Some(true),
);
pub(super) const TEN_ACTIVATE: Workload = workload(
    "ten_activate",
    Trackers::TenInactive,
    Action::SetActive(true),
    Some(true),
);
pub(super) const TEN_DEACTIVATE: Workload = workload(
    "ten_deactivate",
    Trackers::TenActive,
    Action::SetActive(false),
    Some(false),
);
pub(super) const ALREADY_TRUE: Workload = workload(
    "already_true",
    Trackers::OneOfTwoActive,
    Action::ActivateSecond,
    None,
);
pub(super) const UNRELATED: Workload =
    workload("unrelated", Trackers::OneActive, Action::Unrelated, None);

/// The bulk workloads, the most informative first.
pub(super) const BULK: [Workload; 10] = [
    INSERT,
    DEACTIVATE,
    ACTIVATE,
    ALREADY_TRUE,
    DELETE,
    TEN_INSERT,
    TEN_DEACTIVATE,
    TEN_ACTIVATE,
    UNRELATED,
    CASCADE_DELETE,
];

impl Workload {
    /// How many projects a statement for this many rows changes.
    pub(super) fn projects(self, rows: u32) -> u32 {
        if self.is_ten { rows / 10 } else { rows }
    }

    /// The statement for the projects from `first` to `last`.
    pub(super) fn statement(self, first: u32, last: u32) -> String {
        let of_projects = format!("project_id between {first} and {last}");
        match self.action {
            Action::Insert(kinds) => {
                let kinds: Vec<String> = KINDS[..kinds]
                    .iter()
                    .map(|kind| format!("('{kind}')"))
                    .collect();
                format!(
                    "insert into integrations (project_id, type_new, category, active, created_at, updated_at) \
                     select id, kind, 'issue_tracker', true, now(), now() \
                     from generate_series({first}, {last}) as id, (values {}) as kinds (kind)",
                    kinds.join(", ")
                )
            }
            Action::SetActive(active) => format!(
                "update integrations set active = {active} \
                 where {of_projects} and category = 'issue_tracker'"
            ),
            Action::ActivateSecond => format!(
                "update integrations set active = true \
                 where {of_projects} and type_new = 'Integrations::Redmine'"
            ),
            Action::Delete => {
                format!(
                    "delete from integrations where {of_projects} and category = 'issue_tracker'"
                )
            }
            Action::DeleteProjects => {
                format!("delete from projects where id between {first} and {last}")
            }
            Action::Unrelated => format!(
                "update integrations set alert_events = true \
                 where {of_projects} and category = 'issue_tracker'"
            ),
        }
    }

    /// Only the UPDATE of the same targets, by a list of ids.
    pub(super) fn bare_update(self, first: u32, last: u32) -> Option<String> {
        self.value.map(|value| {
            format!(
                "update projects set has_external_issue_tracker = {value} \
                 where id = any (array(select generate_series({first}::bigint, {last})))"
            )
        })
    }
}
