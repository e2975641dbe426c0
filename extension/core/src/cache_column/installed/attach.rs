//! Installs GitLab's own cache columns ([`mod@super::builtin`]) in a schema, and removes them.

use super::builtin::{BUILTINS, Builtin, SOURCES, TARGET, find_source};
use super::drift::wrong_today;
use super::install::{add, clear, remove, switch_trigger, update};
use super::repair::{Mended, keep_names, mend, move_to, would_mend};
use super::state::holder_of;
use crate::cache_column::defined::{Definition, installed_on};
use crate::error::{Result, ServerError};
use lockstep_server::host::{Answer, InstalledTrigger, Relation, Scope, check_is_owner, locks};
use lockstep_server::{Statement, connected, current_user, datum, with_catalog_path};
use pgrx::pg_sys;
use pgrx::spi::quote_literal;

/// Maintains GitLab's cache columns of a schema from now on, and repairs the other definitions there.
pub(crate) fn attach(
    schema: &str,
    disable_application_triggers: bool,
    scope: &Scope,
) -> Result<Vec<Answer>> {
    let host = HostTables::find(schema)?;
    let mut answers = Vec::new();
    for builtin in BUILTINS.iter().filter(|it| scope.has(&it.feature())) {
        answers.push(attach_one(
            &host,
            builtin,
            disable_application_triggers,
            scope.is_dry_run,
        )?);
    }
    if scope.has_all() {
        answers.extend(host.mend_others(scope.is_dry_run)?);
        if !scope.is_dry_run {
            host.clear_others()?;
        }
    }
    Ok(answers)
}

/// Removes what `attach` installed, and enables the application triggers it disabled.
pub(crate) fn detach(schema: &str) -> Result<Vec<Answer>> {
    let host = HostTables::find(schema)?;
    let mut answers = Vec::new();
    for builtin in &BUILTINS {
        answers.push(detach_one(&host, builtin)?);
    }
    host.clear_others()?;
    Ok(answers)
}

/// The application's tables in one schema, as far as they exist.
struct HostTables {
    schema: String,
    target: Option<Relation>,
    source: Option<Relation>,
    /// The source has triggers of ours but no definition, as after a restore that lost them.
    is_lost: bool,
}

impl HostTables {
    fn find(schema: &str) -> Result<Self> {
        let source = find_source(schema)?;
        let is_lost = match &source {
            Some(source) => {
                Definition::of_table(source.oid)?.is_empty()
                    && !installed_on(&[source.oid])?.is_empty()
            }
            None => false,
        };
        Ok(Self {
            schema: schema.to_owned(),
            target: Relation::find_table(schema, TARGET)?,
            source,
            is_lost,
        })
    }

    /// The application triggers that must have been disabled for a lost definition.
    fn lost_triggers(&self, column: &str) -> Vec<String> {
        let source = self.source.iter().filter(|_| self.is_lost);
        source
            .flat_map(|source| application_triggers(source, column, false))
            .collect()
    }

    /// The definition of a built-in column, on this table or on an earlier table with its name, unless that one is somebody else's.
    fn present(&self, builtin: &Builtin) -> Result<Option<Definition>> {
        let name = [self.schema.as_str(), TARGET];
        let target = self.target.as_ref().map(|target| target.oid);
        let all = Definition::all()?;
        let is_ours = |it: &Definition| match Relation::describe(it.target) {
            Ok(target) => check_is_owner(&target).is_ok(),
            Err(_) => true,
        };
        let of_column = || all.iter().filter(|it| it.target_column == builtin.column);
        let found = of_column()
            .find(|it| Some(it.target) == target)
            .or_else(|| of_column().find(|it| it.target_name == name && is_ours(it)));
        Ok(found.cloned())
    }

    /// Whether a table concerns the caller who attaches the schema. It may contain other users' tables, and the caller must not
    /// have to wait for those.
    fn is_concerned(&self, table: &Relation) -> bool {
        let host = [&self.target, &self.source].into_iter().flatten();
        let mut owners: Vec<u32> = host.map(|table| table.owner).collect();
        owners.push(current_user().to_u32());
        owners.contains(&table.owner)
    }

    /// Repairs definitions in the schema that were added with lockstep.add_cache_column; one row for each that was not active.
    fn mend_others(&self, is_dry_run: bool) -> Result<Vec<Answer>> {
        let mut answers = Vec::new();
        for definition in Definition::all()? {
            let names = [&definition.target_name, &definition.source_name];
            let tables = [definition.target, definition.source].map(Relation::describe);
            let mut tables: Vec<&Relation> = tables.iter().flatten().collect();
            let is_builtin = definition.origin == "attach"
                && self.target.is_some()
                && self.source.is_some()
                && (self.target.as_ref().map(|it| it.oid) == Some(definition.target)
                    || definition.target_name == [self.schema.as_str(), TARGET]);
            let is_here = names.iter().any(|name| name.first() == Some(&self.schema))
                || tables.iter().any(|table| table.schema() == self.schema);
            // Tables that have taken over a name may be somebody else's.
            let holders = names.map(|name| holder_of(name));
            tables.extend(holders.iter().flatten().flatten());
            if is_builtin || !is_here || !tables.iter().all(|table| self.is_concerned(table)) {
                continue;
            }
            let outcome = match is_dry_run {
                true => would_mend(&definition, &tables)?,
                false => mend(&definition)?,
            };
            let (status, detail) = match outcome {
                Mended::NothingToDo => continue,
                Mended::Would(what) => ("would attach", what + &wrong_today(&definition)?),
                Mended::Done(what) => ("attached", format!("installed again: {what}")),
                Mended::Removed(why) => ("detached", why),
                Mended::Unfit(why) => ("skipped", why),
            };
            let table = definition.target_name.last().map_or("", String::as_str);
            let feature = format!("{table}.{}", definition.target_column);
            answers.push((feature, status.to_owned(), detail));
        }
        Ok(answers)
    }

    /// Drops our triggers that no definition needs, as after a restore without the definitions.
    fn clear_others(&self) -> Result<()> {
        for table in tables_with_triggers(&self.schema)? {
            if self.is_concerned(&Relation::describe(table)?) {
                clear(table)?;
            }
        }
        Ok(())
    }
}

fn attach_one(
    host: &HostTables,
    builtin: &Builtin,
    disable_application_triggers: bool,
    is_dry_run: bool,
) -> Result<Answer> {
    let feature = builtin.feature();
    let skipped = |detail: String| Ok((feature.clone(), "skipped".to_owned(), detail));
    let attached = |detail: String| Ok((feature.clone(), "attached".to_owned(), detail));
    let would = |detail: String| Ok((feature.clone(), "would attach".to_owned(), detail));

    let schema = &host.schema;
    let Some(target) = &host.target else {
        return skipped(format!("schema {schema} has no table {TARGET}"));
    };
    let Some(source) = &host.source else {
        return skipped(format!(
            "schema {schema} has neither a table {}",
            SOURCES.join(" nor ")
        ));
    };
    check_is_owner(target)?;
    check_is_owner(source)?;
    let rivals = application_triggers(source, builtin.column, true);
    let offer = format!(
        "the application's own triggers on {} write this column: {}; to disable them, call \
         lockstep.attach({}, disable_application_triggers => true)",
        source.qualified_name(),
        rivals.join(", "),
        quote_literal(schema),
    );
    let may_disable = !rivals.is_empty() && disable_application_triggers;
    let present = host.present(builtin)?;
    let mended = match &present {
        Some(present) if present.origin != "attach" => {
            return attached(format!(
                "defined by lockstep.add_cache_column as number {}",
                present.id
            ));
        }
        Some(present) => {
            let wanted = builtin.definition(target, source);
            let is_elsewhere = (present.target, present.source) != (target.oid, source.oid);
            // Both may have been renamed, and others have got their names: these are the tables that were asked for.
            let named = match is_elsewhere {
                true => present.clone(),
                false => present.named_as(target, source),
            };
            if !is_dry_run && !is_elsewhere {
                keep_names(present, target, source)?;
            }
            let present = &named;
            let is_old = present.matches != wanted.matches && present.clone().resolve().is_err();
            let outcome = match (is_elsewhere || is_old, is_dry_run) {
                (true, true) => Mended::Would(locks([target, source])),
                (false, true) => would_mend(present, &[target, source])?,
                (true, false) => move_to(present, wanted, target, source)?,
                (false, false) => mend(present)?,
            };
            match outcome {
                Mended::Would(what) => return would(what + &wrong_today(present)?),
                Mended::NothingToDo if may_disable && is_dry_run => {
                    return would(format!(
                        "disables {}; {}",
                        rivals.join(", "),
                        locks([source])
                    ));
                }
                Mended::NothingToDo if may_disable => String::new(),
                Mended::NothingToDo if rivals.is_empty() => {
                    return attached("already attached, nothing changed".to_owned());
                }
                Mended::NothingToDo => return attached(format!("already attached, but {offer}")),
                Mended::Done(what) => what,
                Mended::Removed(why) | Mended::Unfit(why) => return skipped(why),
            }
        }
        None => {
            let mut definition = builtin.definition(target, source);
            let checked = definition
                .clone()
                .resolve()
                .and_then(|mut resolved| resolved.prepare_to_install());
            if let Err(error) = checked {
                return skipped(error.message());
            }
            let today = match is_dry_run {
                true => wrong_today(&definition)?,
                false => String::new(),
            };
            if !rivals.is_empty() && !disable_application_triggers {
                return skipped(offer + &today);
            }
            if is_dry_run {
                let mut detail = locks([target, source]);
                if may_disable {
                    detail.push_str(&format!("; disables {}", rivals.join(", ")));
                }
                return would(detail + &today);
            }
            clear(target.oid)?;
            clear(source.oid)?;
            definition.disabled_triggers = host.lost_triggers(builtin.column);
            add(definition)?;
            String::new()
        }
    };
    let source_name = source.qualified_name();
    let mut detail = match mended.as_str() {
        "" => format!("maintained from {source_name}"),
        what => format!("installed again from {source_name}: {what}"),
    };
    if may_disable {
        detail.push_str(&format!("; disabled {}", rivals.join(", ")));
        if let Some(mut definition) = Definition::of_column(target.oid, builtin.column)? {
            for rival in rivals.iter().filter_map(|name| source.trigger(name)) {
                switch_trigger(source, &rival.name, "disable")?;
                definition.will_give_back(rival);
            }
            update(&definition)?;
        }
    }
    attached(detail)
}

fn detach_one(host: &HostTables, builtin: &Builtin) -> Result<Answer> {
    let feature = builtin.feature();
    let present = host.present(builtin)?;
    let enabled = match (present, &host.source) {
        (Some(present), _) if present.origin == "attach" => remove(&present)?,
        (None, Some(source)) if host.is_lost => {
            check_is_owner(source)?;
            let disabled = host.lost_triggers(builtin.column);
            for name in &disabled {
                switch_trigger(source, name, "enable")?;
            }
            disabled
        }
        _ => return Ok((feature, "skipped".to_owned(), "not attached".to_owned())),
    };
    let detail = match enabled.as_slice() {
        [] => "triggers removed".to_owned(),
        names => format!("triggers removed; enabled {}", names.join(", ")),
    };
    Ok((feature, "detached".to_owned(), detail))
}

/// The tables of a schema that have triggers of ours.
fn tables_with_triggers(schema: &str) -> Result<Vec<u32>> {
    let query = Statement::new(
        "select coalesce(jsonb_agg(distinct g.tgrelid::bigint), '[]')::text
           from pg_trigger g join pg_class c on c.oid = g.tgrelid join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = $1 and c.relkind in ('r', 'p') and g.tgfoid in (
            select p.oid from pg_proc p join pg_namespace l on l.oid = p.pronamespace where l.nspname = 'lockstep_internal')",
        &[pg_sys::TEXTOID],
    );
    let text = with_catalog_path(|| connected(|| query.text(&[datum(schema)])));
    serde_json::from_str(&text.unwrap_or_default()).map_err(ServerError::catalog)
}

/// The application triggers that write the column: those that fire, or those that are disabled. They are named after it.
fn application_triggers(source: &Relation, column: &str, fires: bool) -> Vec<String> {
    let prefix = format!("trigger_{column}");
    let is_one = |trigger: &&InstalledTrigger| match fires {
        true => trigger.fires,
        false => !trigger.enabled,
    };
    let rivals = source
        .triggers()
        .iter()
        .filter(|trigger| is_one(trigger) && trigger.name.starts_with(&prefix));
    rivals.map(|trigger| trigger.name.clone()).collect()
}
