-- What an owner of tables can make others run. Each planted piece of code calls evil(), which records its effective user in
-- sequences, because these survive a rollback, and tries to become another user, now or at the end of the transaction.

create sequence mallory.as_owner;
create sequence mallory.as_another;
create sequence mallory.as_another_session;
grant usage on schema mallory to public;
grant usage on all sequences in schema mallory to public;

create function mallory.saw(what text) returns void language plpgsql as $$
declare
  stack text;
begin
  if current_user = 'hostile_mallory' then
    perform nextval('mallory.as_owner');
  else
    perform nextval('mallory.as_another');
    get diagnostics stack = pg_context;
    raise warning 'evil: % ran as %: %', what, current_user,
      (select string_agg(line, ' < ') from regexp_split_to_table(stack, '\n') line where line !~ 'mallory\.(saw|evil)|mallory.spring');
  end if;
  -- Clients set this; background workers do not have it, and have a user from their start.
  if current_setting('hostile.client', true) is null and session_user <> 'hostile_mallory' then
    perform nextval('mallory.as_another_session');
    raise warning 'evil: % ran in a worker of %', what, session_user;
  end if;
end $$;

-- Its deferred trigger runs as the user who ends the transaction.
create table mallory.trap (what text);
create function mallory.spring() returns trigger language plpgsql as $$
begin perform mallory.saw('deferred from ' || new.what); return null; end $$;
create constraint trigger spring after insert on mallory.trap deferrable initially deferred
  for each row execute function mallory.spring();
grant insert on mallory.trap to public;

create function mallory.as_none(what text) returns void language plpgsql set role = 'none' as $$
begin perform mallory.saw(what || ' by a setting of a function'); end $$;

create function mallory.evil(what text) returns boolean language plpgsql as $$
declare
  attempt text;
  tried text := coalesce(current_setting('hostile.tried', true), '');
begin
  perform mallory.saw(what);
  -- Once per restricted operation is enough; the setting is reset at its end.
  if position('<' || what || '>' in tried) > 0 then
    return true;
  end if;
  perform set_config('hostile.tried', tried || '<' || what || '>', true);
  foreach attempt in array array[
      $a$select set_config('role', 'none', true)$a$, $a$select set_config('role', 'none', false)$a$, 'reset role',
      'reset session authorization', 'set session authorization default', $a$select set_config('session_authorization', 'postgres', false)$a$,
      'set local role postgres', format('select mallory.as_none(%L)', what), format('insert into mallory.trap values (%L)', what),
      format('declare later cursor with hold for select mallory.saw(%L)', what || ' of a cursor'),
      $a$select set_config('search_path', 'mallory, pg_catalog', false)$a$, $a$select set_config('hostile.left', 'behind', false)$a$] loop
    begin
      execute attempt;
      perform mallory.saw(what || ' after ' || attempt);
    exception when others then
      null;
    end;
  end loop;
  begin
    alter role hostile_mallory superuser;
    perform nextval('mallory.as_another');
    raise exception 'evil: % can make superusers', what;
  exception
    when insufficient_privilege then null;
    when others then raise warning '%', sqlerrm;
  end;
  return true;
end $$;

-- The same for code that must be immutable, for any type.
create function mallory.evil_of(anyelement, what text) returns boolean language plpgsql immutable as $$
begin return mallory.evil(what); end $$;
create function mallory.evil_row() returns trigger language plpgsql as $$
begin
  perform mallory.evil(format('%s %s trigger of %s', lower(tg_when), lower(tg_op), tg_table_name));
  if tg_when = 'BEFORE' and tg_level = 'ROW' then
    if tg_op = 'DELETE' then return old; end if;
    return new;
  end if;
  return null;
end $$;
create function mallory.evil_command() returns event_trigger language plpgsql as $$
begin perform mallory.evil('event trigger for ' || tg_tag); end $$;

-- Calls of these plant code in every possible place: {t} is a table, {n} its name, {c} its first column; and with {d} a column
-- with a domain for its type.
create procedure mallory.on_tables(statement text) language plpgsql as $$
declare
  found record;
  planted integer := 0;
begin
  for found in
    select c.oid::regclass as t, c.relname as n, quote_ident(a.attname) as c
      from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum = 1
     where c.relnamespace = 'mallory'::regnamespace and c.relkind in ('r', 'v', 'f', 'p') and not c.relispartition and c.relname <> 'trap'
       and c.relname !~ '_(base|child)$' and c.relowner = current_user::regrole
  loop
    begin
      execute replace(replace(replace(statement, '{t}', found.t::text), '{n}', found.n), '{c}', found.c);
      planted := planted + 1;
    exception when others then
      raise log 'not planted: % on %: %', statement, found.t, sqlerrm;
    end;
  end loop;
  if planted = 0 then
    raise exception 'planted nowhere: %', statement;
  end if;
end $$;
create procedure mallory.on_columns(type regtype, statement text) language plpgsql as $$
declare
  found record;
begin
  for found in
    select c.oid::regclass as t, c.relname as n, a.attname as c, format('mallory.of_%s_%s', c.relname, a.attname) as d
      from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
     where c.relnamespace = 'mallory'::regnamespace and c.relkind in ('r', 'p') and c.relname <> 'trap' and a.atttypid = type
       and c.relowner = current_user::regrole
  loop
    begin
      execute replace(replace(replace(replace(statement, '{t}', found.t::text), '{n}', found.n), '{c}', quote_ident(found.c)), '{d}', found.d);
    exception when others then
      raise log 'not planted: % on % %: %', statement, found.t, found.c, sqlerrm;
    end;
  end loop;
end $$;

-- Always present: a group of actors and jobs with hostile code.
create function mallory.in_group(actor text) returns boolean language plpgsql as $$ begin return mallory.evil('function of a group'); end $$;
select lockstep.register_feature_group('mine', 'mallory.in_group(text)');
create table mallory.paused (id bigint primary key, n integer not null default 0);
create table mallory.failed (like mallory.paused including all);
insert into mallory.paused (id) select generate_series(1, 40);
insert into mallory.failed (id) select generate_series(1, 40);
create domain mallory.of_a_job as integer check (mallory.evil('literal of a job') or value > 0);
select lockstep.register_backfill_job(t, format('mallory.%I', t)::regclass,
         format('update mallory.%I c set n = n + 1 where {range} and mallory.evil(''statement of a job'') and ''1''::mallory.of_a_job = 1', t))
  from unnest('{counted,paused,failed}'::text[]) t;
create function mallory.hold() returns text language plpgsql as $$ begin perform mallory.evil('function that holds a run'); return null; end $$;

-- For a role that does everything its tables allow.
grant execute on all functions in schema mallory to public;
