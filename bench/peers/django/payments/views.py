"""The endpoints: validate, process, answer."""

from django.http import HttpRequest, HttpResponse
from rest_framework.decorators import api_view
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from payments.models import Organization
from payments.serializers import PaymentSerializer
from payments.service import process


@api_view(["POST"])
def bank(request: Request) -> Response:
    """Take a payment in; 200 once it is counted, also for one that was counted before."""
    try:
        serializer = PaymentSerializer(data=request.data)
    except ParseError:
        return Response({"error": "Invalid data"}, status=400)
    if not serializer.is_valid():
        return Response({"error": "Invalid data"}, status=400)
    process(serializer.validated_data)
    return Response({"message": "Payment processed successfully"})


@api_view(["GET"])
def balance(_request: Request, inn: str) -> HttpResponse | Response:
    """Answer a balance."""
    organization = Organization.objects.filter(inn=inn).first()
    if organization is None:
        return Response({"error": "Organization not found"}, status=404)
    # By hand: DRF writes a Decimal as a string, or as a float.
    body = f'{{"inn": "{inn}", "balance": {organization.balance:.2f}}}'
    return HttpResponse(body, content_type="application/json")


def healthz(_request: HttpRequest) -> HttpResponse:
    """Answer that the process lives."""
    return HttpResponse("ok")
