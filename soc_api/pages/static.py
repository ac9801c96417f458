"""``/static``: anyone may read it; there are no secrets in it."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from soc_api.pages.assets import ASSETS

router = APIRouter()


@router.get("/static/{path:path}")
def asset(path: str, request: Request) -> Response:
    return ASSETS.response(path, request)
