//! lockstep: derived columns of a GitLab-shaped database, kept in lockstep with the rows they are derived from.

#![deny(ffi_unwind_calls)]

mod attach;
mod backfill;
mod cache_column;
mod error;
mod feature;
mod host;
mod integration;
mod job;
mod own_statement;
mod pending;
mod planner;
mod service_account;
mod statement;

#[cfg(not(panic = "unwind"))]
compile_error!("PostgreSQL's errors cross Rust frames by unwinding: build with panic = \"unwind\"");

pgrx::pg_module_magic!(name, version);

pgrx::extension_sql_file!("../../sql/lockstep/schema.sql", name = "schema", bootstrap);
pgrx::extension_sql_file!(
    "../../sql/lockstep/cache_column.sql",
    name = "cache_column",
    finalize
);
pgrx::extension_sql_file!(
    "../../sql/lockstep/backfill.sql",
    name = "backfill",
    requires = ["schema"]
);
pgrx::extension_sql_file!(
    "../../sql/lockstep/feature.sql",
    name = "feature",
    requires = ["schema"]
);
pgrx::extension_sql_file!(
    "../../sql/lockstep/feature_view.sql",
    name = "feature_view",
    requires = [feature::list::list_features, "feature"]
);
pgrx::extension_sql_file!(
    "../../sql/lockstep/job.sql",
    name = "job",
    requires = ["schema"]
);
pgrx::extension_sql_file!(
    "../../sql/lockstep/integration.sql",
    name = "integration",
    requires = ["schema"]
);

/// Called once, when the library is loaded into a backend.
#[pgrx::pg_guard]
extern "C-unwind" fn _PG_init() {
    backfill::init();
    host::init();
    pending::init();
    planner::init();
}
