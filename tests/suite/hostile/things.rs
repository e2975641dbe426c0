//! What an owner can plant in tables so that others run it. evil.sql explains `{t}`, `{n}`, `{c}` and `{d}`.

/// Something hostile, and how it is planted.
pub(super) struct Thing {
    pub(super) name: &'static str,
    /// What a superuser does first.
    pub(super) granted: &'static str,
    /// What the owner of the tables does.
    pub(super) planted: &'static str,
    /// What a superuser was talked into.
    pub(super) arranged: &'static str,
    /// It is refused completely.
    pub(super) is_refused: bool,
}

const fn of_owner(name: &'static str, planted: &'static str) -> Thing {
    Thing {
        name,
        granted: "",
        planted,
        arranged: "",
        is_refused: false,
    }
}

/// Nothing is planted, except what is always present: a job and a group of actors. Each call must succeed.
pub(super) const NOTHING: Thing = of_owner("nothing", "");

pub(super) const COLUMNS: Thing = of_owner(
    "columns",
    "call mallory.on_tables($$alter table {t} add constraint evil check (mallory.evil_of({c}, 'check of {n}'))$$);
     call mallory.on_tables($$alter table {t} add evil_generated boolean generated always as (mallory.evil_of({c}, 'generated column of {n}')) stored$$);
     call mallory.on_tables($$alter table {t} add evil_default boolean default mallory.evil('default of {n}')$$);
     call mallory.on_tables($$create index on {t} (mallory.evil_of({c}, 'index expression of {n}'))$$);
     call mallory.on_tables($$create index on {t} ({c}) where mallory.evil_of({c}, 'index predicate of {n}')$$);
     call mallory.on_tables($$create statistics mallory.evil_{n} on (mallory.evil_of({c}, 'statistics of {n}')), {c} from {t}$$)",
);

pub(super) const TRIGGERS: Thing = of_owner(
    "triggers",
    "call mallory.on_tables($$create trigger aa_evil before insert or update or delete on {t} for each row execute function mallory.evil_row()$$);
     call mallory.on_tables($$create trigger zz_evil after insert or update or delete on {t} for each row execute function mallory.evil_row()$$);
     call mallory.on_tables($$create trigger ab_evil before insert or update or delete or truncate on {t} for each statement execute function mallory.evil_row()$$);
     call mallory.on_tables($$create trigger zy_evil after insert or update or delete or truncate on {t} for each statement execute function mallory.evil_row()$$)",
);

pub(super) const DEFERRED: Thing = of_owner(
    "deferred triggers",
    "call mallory.on_tables($$create constraint trigger evil after insert or update or delete on {t} deferrable initially deferred
                                for each row execute function mallory.evil_row()$$)",
);

pub(super) const POLICIES: Thing = of_owner(
    "policies",
    "call mallory.on_tables($$alter table {t} enable row level security$$);
     call mallory.on_tables($$alter table {t} force row level security$$);
     call mallory.on_tables($$create policy evil on {t} using (mallory.evil('policy of {n}')) with check (mallory.evil('policy of {n}'))$$)",
);

pub(super) const RULES: Thing = of_owner(
    "rules",
    "call mallory.on_tables($$create rule evil_insert as on insert to {t} do also select mallory.evil('rule of {n}')$$);
     call mallory.on_tables($$create rule evil_update as on update to {t} do also select mallory.evil('rule of {n}')$$);
     call mallory.on_tables($$create rule evil_delete as on delete to {t} do also select mallory.evil('rule of {n}')$$)",
);

pub(super) const VIEWS: Thing = of_owner(
    "views",
    "call mallory.on_tables($$alter table {t} rename to {n}_base$$);
     call mallory.on_bases($$create view mallory.{n} as select * from {t} where mallory.evil('view of {n}')$$)",
);

pub(super) const DOMAINS: Thing = of_owner(
    "domains",
    "call mallory.domains('text'); call mallory.domains('varchar'); call mallory.domains('bigint'); call mallory.domains('boolean');
     call mallory.domains('integer'); call mallory.domains('bytea'); call mallory.domains('timestamp'); call mallory.domains('timestamptz')",
);

/// The triggers are created for columns that already have domains.
pub(super) const DOMAINS_FIRST: Thing = of_owner(
    "domains before attach",
    "select * from lockstep.detach('mallory'); select * from lockstep.detach_slack('mallory');
     call mallory.domains('text'); call mallory.domains('varchar'); call mallory.domains('bigint'); call mallory.domains('boolean');
     call mallory.domains('integer'); call mallory.domains('bytea'); call mallory.domains('timestamp'); call mallory.domains('timestamptz');
     select * from lockstep.attach('mallory'); select * from lockstep.attach_slack('mallory')",
);

/// The same for texts only, which prevents no trigger.
pub(super) const TEXTS_FIRST: Thing = of_owner(
    "domains of texts before attach",
    "select * from lockstep.detach('mallory'); select * from lockstep.detach_slack('mallory');
     call mallory.domains('text'); call mallory.domains('varchar'); call mallory.domains('bytea'); call mallory.domains('timestamp');
     do $$ begin perform lockstep.attach('mallory'); perform lockstep.attach_slack('mallory'); exception when others then raise log 'attach: %', sqlerrm; end $$",
);

pub(super) const ENUMS: Thing = Thing {
    name: "enums with casts, operators and operator classes",
    granted: "",
    planted: "select * from lockstep.detach('mallory'); select * from lockstep.detach_slack('mallory'); call mallory.enums('text'); call mallory.enums('varchar');
              do $$ begin perform lockstep.attach('mallory'); perform lockstep.attach_slack('mallory'); exception when others then raise log 'attach: %', sqlerrm; end $$",
    arranged: "call mallory.operator_classes()",
    is_refused: false,
};

pub(super) const EVENT_TRIGGERS: Thing = Thing {
    name: "event triggers",
    granted: "",
    planted: "",
    arranged: "create event trigger evil_start on ddl_command_start execute function mallory.evil_command();
               create event trigger evil_end on ddl_command_end execute function mallory.evil_command();
               create event trigger evil_drop on sql_drop execute function mallory.evil_command();
               create event trigger evil_rewrite on table_rewrite execute function mallory.evil_command()",
    is_refused: false,
};

/// Reading a file creates values of their types.
pub(super) const FOREIGN_TABLES: Thing = Thing {
    name: "foreign tables",
    granted: "",
    planted: "",
    arranged: "create extension file_fdw; create server evil foreign data wrapper file_fdw; call mallory.foreign_tables()",
    is_refused: true,
};

pub(super) const PARTITIONS: Thing = of_owner(
    "partitions by a function",
    "select * from lockstep.detach('mallory'); select * from lockstep.detach_slack('mallory');
     call mallory.on_tables($$alter table {t} rename to {n}_base$$);
     call mallory.on_bases($$create table mallory.{n} (like {t} including defaults including generated) partition by list (mallory.evil_of({c}, 'partition key of {n}'))$$);
     call mallory.on_bases($$create table mallory.{n}_1_base partition of mallory.{n} default$$);
     call mallory.on_bases($$insert into mallory.{n} select * from {t}$$);
     do $$ begin perform lockstep.attach('mallory'); perform lockstep.attach_slack('mallory'); exception when others then raise log 'attach: %', sqlerrm; end $$",
);

pub(super) const CHILDREN: Thing = of_owner(
    "inheritance children",
    "call mallory.on_tables($$create table mallory.{n}_child (like {t} including defaults, constraint evil check (mallory.evil_of({c}, 'check of {n}')))$$);
     call mallory.on_tables($$create trigger evil before insert or update or delete on mallory.{n}_child for each row execute function mallory.evil_row()$$);
     call mallory.on_tables($$create policy evil on mallory.{n}_child using (mallory.evil('policy of {n}'))$$);
     call mallory.on_tables($$alter table mallory.{n}_child enable row level security$$);
     call mallory.on_tables($$insert into mallory.{n}_child select * from {t}$$);
     call mallory.on_tables($$alter table mallory.{n}_child inherit {t}$$)",
);

/// Functions and operators for everybody's types, first in the search path of the whole database.
pub(super) const SHADOWS: Thing = Thing {
    name: "shadows on the search_path",
    granted: "",
    planted: "call mallory.shadows()",
    arranged: "do $$ begin execute format('alter database %I set search_path = mallory, pg_catalog, public', current_database()); end $$",
    is_refused: false,
};

/// Source and target have owners who trust each other with nothing but rows.
pub(super) const SOURCE_OF_ANOTHER: Thing = Thing {
    name: "a target of the one and a source of the other",
    granted: "alter table mallory.integrations owner to hostile_alice; alter table mallory.slack_integrations owner to hostile_alice; alter table mallory.feature_gates owner to hostile_alice;
               grant usage on schema mallory to hostile_alice; grant select on all tables in schema mallory to hostile_alice, hostile_mallory;
               grant usage on all sequences in schema mallory to hostile_alice;
               do $$ begin perform lockstep.attach('mallory'); perform lockstep.attach_slack('mallory'); exception when others then raise log 'attach: %', sqlerrm; end $$",
    planted: "call mallory.all_kinds()",
    arranged: "",
    is_refused: false,
};

pub(super) const TARGET_OF_ANOTHER: Thing = Thing {
    name: "a source of the one and a target of the other",
    granted: "alter table mallory.projects owner to hostile_alice; alter table mallory.slack_api_scopes owner to hostile_alice; alter table mallory.features owner to hostile_alice;
               alter table mallory.duo_workflows_workflows owner to hostile_alice;
               grant usage on schema mallory to hostile_alice; grant select on all tables in schema mallory to hostile_alice, hostile_mallory;
               grant usage on all sequences in schema mallory to hostile_alice;
               do $$ begin perform lockstep.attach('mallory'); perform lockstep.attach_slack('mallory'); exception when others then raise log 'attach: %', sqlerrm; end $$",
    planted: "call mallory.all_kinds()",
    arranged: "",
    is_refused: false,
};
