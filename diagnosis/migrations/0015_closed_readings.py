from django.db import migrations, models


def look(apps, schema_editor):
    """What two readers closed, they have looked at."""
    slides = apps.get_model("diagnosis", "Slide").objects.filter(has_open=True, signed_at=None)
    slides.filter(is_read_twice=True, readings_closed_at__isnull=False).update(has_open=False)


class Migration(migrations.Migration):
    dependencies = [("diagnosis", "0014_estimated_bytes")]

    operations = [
        migrations.AlterField(
            model_name="slide",
            name="has_open",
            field=models.BooleanField(
                db_default=False,
                default=False,
                editable=False,
                help_text="A suspicious cell nobody spoke of, come since it was signed or closed.",
            ),
        ),
        migrations.RunPython(look, migrations.RunPython.noop, elidable=True),
    ]
