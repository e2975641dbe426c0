//! Mallory owns tables. Whenever her code runs, it records its effective user and tries to become another one.

use anyhow::{Result, ensure};
use postgres::Client;

/// Her schema, and what she puts on tables; all objects belong to her.
const TOOLS: &str = "
create schema mallory authorization {mallory}; grant usage on schema mallory to public;
set role {mallory};
create table mallory.seen (who text, what text); grant insert on mallory.seen to public;
create function mallory.spy(what text) returns boolean language plpgsql as $$
begin
  insert into mallory.seen values (current_user, what);
  begin
    perform set_config('role', 'none', false);
  exception when others then
    null;
  end;
  insert into mallory.seen values (current_user, what || ', having tried');
  return true;
end $$;
create function mallory.still(what text) returns boolean language plpgsql immutable as $$
begin
  perform mallory.spy(what);
  return true;
end $$;
create function mallory.watch() returns trigger language plpgsql as $$
begin
  perform mallory.spy(tg_name);
  return coalesce(new, old);
end $$;
create domain mallory.watched as boolean check (mallory.spy('domain'));
create function mallory.trap(target regclass) returns void language plpgsql as $$
declare
  name text := target::text;
begin
  execute format('alter table %s add trapped mallory.watched default mallory.spy(%L)', name, 'default of ' || name);
  execute format('alter table %s add made boolean generated always as (mallory.still(%L)) stored', name, 'generated in ' || name);
  -- Autovacuum computes the index's expression when it analyzes the table.
  execute format('alter table %s set (autovacuum_enabled = off)', name);
  execute format('create index on %s (mallory.still(%L))', name, 'index on ' || name);
  execute format('create trigger before_row before insert or update or delete on %s for each row execute function mallory.watch()', name);
  execute format('create trigger after_row after insert or update or delete on %s for each row execute function mallory.watch()', name);
  execute format('create trigger statement after insert or update or delete on %s execute function mallory.watch()', name);
end $$;
create function mallory.hide(target regclass) returns void language plpgsql as $$
begin
  execute format('alter table %s enable row level security; alter table %1$s force row level security;
                  create policy hidden on %1$s using (mallory.spy(%2$L))', target, 'policy of ' || target);
end $$;
create function mallory.defer(target regclass) returns void language plpgsql as $$
begin
  execute format('create constraint trigger deferred after insert or update or delete on %s deferrable initially deferred
                  for each row execute function mallory.watch()', target);
end $$;
reset role";

/// Her role for a database with this name.
pub(crate) fn role(name: &str) -> String {
    format!("{name}_mallory")
}

pub(crate) fn moves_in(client: &mut Client, name: &str) -> Result<()> {
    let mallory = role(name);
    client.batch_execute(&format!("create role {mallory}"))?;
    Ok(client.batch_execute(&TOOLS.replace("{mallory}", &mallory))?)
}

/// What her code has recorded since the last call; all of it ran as her.
pub(crate) fn noted(client: &mut Client, name: &str) -> Result<Vec<String>> {
    let mallory = role(name);
    let mut what = Vec::new();
    for row in client.query("delete from mallory.seen returning who, what", &[])? {
        let (who, noted): (String, String) = (row.get(0), row.get(1));
        ensure!(who == mallory, "{noted} ran as {who}");
        what.push(noted);
    }
    what.sort_unstable();
    what.dedup();
    Ok(what)
}
