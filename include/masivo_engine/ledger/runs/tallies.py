"""stub"""


def add(connection, run, entity, state, reason, column, rows, points, new):
    from sqlalchemy import insert
    from masivo_engine.ledger import schema

    connection.execute(
        insert(schema.tally).values(
            run=run, entity=entity, state=state, reason=reason, column_name=column, rows=rows, points=points, new=new
        )
    )
