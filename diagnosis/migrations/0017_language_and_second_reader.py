from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("diagnosis", "0015_closed_readings")]

    operations = [
        migrations.AddField(
            model_name="laboratory",
            name="report_language",
            field=models.CharField(
                choices=[("en", "English"), ("fr", "Français"), ("pt", "Português")],
                db_default="en",
                default="en",
                help_text="What is signed from now on is written in it.",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="slide",
            name="second_asked_by",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                help_text="Who asked for a second reader after it was made.",
                max_length=150,
            ),
        ),
    ]
