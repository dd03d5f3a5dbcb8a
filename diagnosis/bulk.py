"""Many rows written by one statement. As Django's bulk_update, in a tenth of its time:
that one resolves an expression for each value, as long as the network needs to read the image.
"""

from collections.abc import Sequence
from typing import Any

from django.db.models import Expression, Field, Model, QuerySet
from django.db.models.functions import Cast


class OfRow(Expression):
    """`CASE id WHEN 1 THEN 'a' WHEN 2 THEN 'b' END`"""

    def __init__(self, values: dict[Any, Any], field: "Field[Any, Any]") -> None:
        super().__init__(output_field=field)
        self.values = values

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        pk = self.output_field.model._meta.pk
        params: list[Any] = []
        for key, value in self.values.items():
            params.append(pk.get_db_prep_save(key, connection))
            params.append(self.output_field.get_db_prep_save(value, connection))
        column = connection.ops.quote_name(pk.column)
        return f"CASE {column} {'WHEN %s THEN %s ' * len(self.values)}END", tuple(params)


def write(wanted: QuerySet[Any], rows: Sequence[Model], names: Sequence[str], **same: Any) -> int:
    """Write these fields of those `rows` that are among the `wanted`, and `same` to all of them."""
    values: dict[str, Any] = {}
    for name in names:
        field = wanted.model._meta.get_field(name)
        of_row = OfRow({row.pk: getattr(row, name) for row in rows}, field)
        values[name] = Cast(of_row, output_field=field)
    return wanted.filter(pk__in=[row.pk for row in rows]).update(**values, **same)
