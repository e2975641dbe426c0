//! What a session of the random test does. It depends only on the seed, never on the result of an earlier statement, so that a
//! seed replays the same statements.

/// A small generator of random numbers (SplitMix64).
pub(crate) struct Dice(u64);

impl Dice {
    /// The dice of one session.
    pub(crate) fn new(seed: u64, session: u64) -> Self {
        let mut dice = Self(seed);
        let start = (0..=session).fold(0, |_, _| dice.next());
        Self(start)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub(crate) fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// So few that the sessions meet all the time.
pub(crate) const PROJECTS: u64 = 6;

const LEVELS: [&str; 3] = ["read committed", "repeatable read", "serializable"];
const TYPES: [&str; 5] = ["Jira", "Redmine", "YouTrack", "ExternalWiki", "Slack"];
const CATEGORIES: [&str; 3] = ["issue_tracker", "issue_tracker", "common"];

/// What a statement does; every kind must succeed at least once in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Insert,
    InsertMany,
    InsertOnConflict,
    Copy,
    Merge,
    MoveByCte,
    Activate,
    ActivateMany,
    Categorize,
    Retype,
    Move,
    MoveToGroup,
    MoveFromGroup,
    Delete,
    DeleteMany,
    CaughtException,
    InsertProject,
    DeleteProject,
    Truncate,
    RollBackToSavepoint,
    CommitPrepared,
    RollBackPrepared,
}

impl Kind {
    /// The kinds of statements, with the frequency of each.
    const DRAWN: [(Self, usize); 19] = [
        (Self::Insert, 14),
        (Self::InsertMany, 4),
        (Self::InsertOnConflict, 10),
        (Self::Copy, 6),
        (Self::Merge, 8),
        (Self::MoveByCte, 5),
        (Self::Activate, 20),
        (Self::ActivateMany, 4),
        (Self::Categorize, 8),
        (Self::Retype, 6),
        (Self::Move, 8),
        (Self::MoveToGroup, 4),
        (Self::MoveFromGroup, 5),
        (Self::Delete, 8),
        (Self::DeleteMany, 2),
        (Self::CaughtException, 4),
        (Self::InsertProject, 10),
        (Self::DeleteProject, 3),
        (Self::Truncate, 1),
    ];

    /// Every kind.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let others = [
            Self::RollBackToSavepoint,
            Self::CommitPrepared,
            Self::RollBackPrepared,
        ];
        Self::DRAWN.into_iter().map(|(kind, _)| kind).chain(others)
    }

    fn draw(dice: &mut Dice) -> Self {
        let kinds = Self::DRAWN.iter();
        let weighted: Vec<Self> = kinds
            .flat_map(|(kind, weight)| std::iter::repeat_n(*kind, *weight))
            .collect();
        dice.one_of(&weighted)
    }
}

pub(crate) struct Statement {
    pub(crate) kind: Kind,
    pub(crate) text: String,
    /// The lines of a COPY.
    pub(crate) lines: Option<String>,
    /// Rolled back to the savepoint before it, even though it succeeded.
    pub(crate) undone: bool,
    /// A savepoint is set before it; if it fails, the transaction continues from there.
    pub(crate) guarded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Commit,
    RollBack,
    CommitPrepared,
    RollBackPrepared,
}

pub(crate) struct Transaction {
    pub(crate) level: &'static str,
    pub(crate) statements: Vec<Statement>,
    pub(crate) end: End,
}

impl Transaction {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let level = dice.one_of(&LEVELS);
        let count = 1 + dice.below(4);
        let statements = (0..count).map(|_| Statement::draw(dice)).collect();
        let end = match dice.below(100) {
            0..75 => End::Commit,
            75..85 => End::RollBack,
            85..95 => End::CommitPrepared,
            _ => End::RollBackPrepared,
        };
        Self {
            level,
            statements,
            end,
        }
    }
}

impl Statement {
    fn draw(dice: &mut Dice) -> Self {
        let kind = Kind::draw(dice);
        let guarded = dice.percent(30);
        let undone = guarded && dice.percent(50);
        let lines = (kind == Kind::Copy).then(|| Row::draw(dice).line());
        let text = text_of(kind, dice);
        Self {
            kind,
            text,
            lines,
            undone,
            guarded,
        }
    }
}

/// A row of `integrations`, and another project it could belong to.
struct Row {
    project: u64,
    other_project: u64,
    name: &'static str,
    other_name: &'static str,
    category: &'static str,
    active: bool,
}

impl Row {
    fn draw(dice: &mut Dice) -> Self {
        Self {
            project: 1 + dice.below(PROJECTS),
            other_project: 1 + dice.below(PROJECTS),
            name: dice.one_of(&TYPES),
            other_name: dice.one_of(&TYPES),
            category: dice.one_of(&CATEGORIES),
            active: dice.percent(60),
        }
    }

    fn values(&self) -> String {
        let Self {
            project,
            name,
            category,
            active,
            ..
        } = self;
        format!("{project}, 'Integrations::{name}', '{category}', {active}")
    }

    fn line(&self) -> String {
        let Self {
            project,
            name,
            category,
            active,
            ..
        } = self;
        format!("{project}\tIntegrations::{name}\t{category}\t{active}\n")
    }
}

const COLUMNS: &str = "project_id, type_new, category, active";

fn text_of(kind: Kind, dice: &mut Dice) -> String {
    let row = Row::draw(dice);
    let (
        values,
        Row {
            project,
            other_project,
            name,
            other_name,
            category,
            active,
        },
    ) = (row.values(), row);
    let this = format!("project_id = {project} and type_new = 'Integrations::{name}'");
    match kind {
        Kind::Insert => format!("insert into integrations ({COLUMNS}) values ({values})"),
        Kind::InsertMany => format!(
            "insert into integrations ({COLUMNS})
             select id, 'Integrations::{name}', '{category}', {active} from projects where id in ({project}, {other_project})
             on conflict do nothing"
        ),
        Kind::InsertOnConflict => format!(
            "insert into integrations ({COLUMNS}) values ({values}) on conflict (project_id, type_new)
             do update set active = excluded.active, category = excluded.category"
        ),
        Kind::Copy => format!("copy integrations ({COLUMNS}) from stdin"),
        Kind::Merge => format!(
            "merge into integrations i using (values ({values})) v ({COLUMNS})
               on i.project_id = v.project_id and i.type_new = v.type_new
             when matched and i.active = v.active then delete
             when matched then update set active = v.active, category = v.category
             when not matched then insert ({COLUMNS}) values (v.project_id, v.type_new, v.category, v.active)"
        ),
        Kind::MoveByCte => format!(
            "with gone as (delete from integrations where {this} returning type_new, category)
             insert into integrations ({COLUMNS}) select {other_project}, type_new, category, {active} from gone"
        ),
        Kind::Activate => format!("update integrations set active = {active} where {this}"),
        Kind::ActivateMany => format!("update integrations set active = {active} where project_id in ({project}, {other_project})"),
        Kind::Categorize => format!("update integrations set category = '{category}' where {this}"),
        Kind::Retype => format!("update integrations set type_new = 'Integrations::{other_name}' where {this}"),
        Kind::Move => format!("update integrations set project_id = {other_project} where {this}"),
        Kind::MoveToGroup => format!("update integrations set project_id = null, group_id = 1 where {this}"),
        Kind::MoveFromGroup => format!(
            "update integrations set project_id = {project}, group_id = null
              where id = (select min(id) from integrations where group_id = 1)"
        ),
        Kind::Delete => format!("delete from integrations where {this}"),
        Kind::DeleteMany => format!("delete from integrations where project_id in ({project}, {other_project})"),
        // The exception undoes the insert and its flush; the update stays.
        Kind::CaughtException => format!(
            "do $$ begin
               begin
                 insert into integrations ({COLUMNS}) values ({values});
                 raise division_by_zero;
               exception when division_by_zero or unique_violation then
                 update integrations set active = {active} where project_id = {other_project};
               end;
             end $$"
        ),
        Kind::InsertProject => format!("insert into projects (id, namespace_id) values ({project}, 1) on conflict do nothing"),
        Kind::DeleteProject => format!("delete from projects where id = {project}"),
        Kind::Truncate => "truncate integrations cascade".to_owned(),
        Kind::RollBackToSavepoint | Kind::CommitPrepared | Kind::RollBackPrepared => String::new(),
    }
}
