//! jsonb holds more than a program reads: each function with such an argument says so.

use anyhow::{Result, ensure};

use crate::database;
use crate::surface::refusal::error_of;

#[test]
fn no_jsonb_is_an_internal_error() -> Result<()> {
    let mut client = database::empty("surface_jsonb")?;
    client.batch_execute("create extension lockstep_slack cascade")?;
    let calls = client.query(
        "select format('select %s%s(%s)', p.pronamespace::regnamespace, '.' || quote_ident(p.proname),
                       (select string_agg(case t.type when 'jsonb'::regtype then 'JSONB' else 'null::' || format_type(t.type, null) end, ', ' order by t.place)
                          from unnest(p.proargtypes) with ordinality t (type, place)))
           from pg_proc p
          where p.pronamespace::regnamespace::text ~ '^lockstep' and 'jsonb'::regtype = any (p.proargtypes) and p.prokind = 'f'
          order by 1",
        &[],
    )?;
    ensure!(calls.len() > 20, "{}", calls.len());
    for call in calls {
        let call: String = call.get(0);
        for value in [
            "repeat('[', 200) || repeat(']', 200)",
            "'{\"a\": 1e400}'",
            "repeat('{\"a\":', 6000) || '1' || repeat('}', 6000)",
        ] {
            let call = call.replace("JSONB", &format!("({value})::jsonb"));
            if client.batch_execute(&call).is_err() {
                let error = error_of(&mut client, &call)?;
                ensure!(error.code().code() != "XX000", "{call}: {error:?}");
            }
        }
    }
    Ok(())
}
