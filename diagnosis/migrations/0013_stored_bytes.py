from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("diagnosis", "0012_mail_language"),
    ]

    operations = [
        migrations.AddField(
            model_name="smearimage",
            name="stored_bytes",
            field=models.PositiveIntegerField(
                db_default=0, default=0, editable=False, help_text="Of its file, for the quota."
            ),
        ),
    ]
