from django.db import migrations
from django.db.models import F


def estimate(apps, schema_editor):
    """Photographs of blood films take about a byte a pixel as PNG: good enough for a quota."""
    images = apps.get_model("diagnosis", "SmearImage").objects
    images.filter(stored_bytes=0).update(stored_bytes=F("width") * F("height"))


class Migration(migrations.Migration):
    """Apart from the one before, whose lock on the table would last as long."""

    dependencies = [
        ("diagnosis", "0013_stored_bytes"),
    ]

    operations = [
        migrations.RunPython(estimate, migrations.RunPython.noop),
    ]
