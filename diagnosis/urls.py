from django.urls import path

from .views import fields, history, home, images, reviews, slides, tokens
