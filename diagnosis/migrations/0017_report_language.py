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
    ]
