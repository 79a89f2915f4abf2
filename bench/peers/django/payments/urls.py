"""The same addresses as Ostatok's."""

from django.urls import path

from payments.views import balance, bank, healthz

urlpatterns = [
    path("api/webhook/bank/", bank),
    path("api/organizations/<str:inn>/balance/", balance),
    path("healthz", healthz),
]
