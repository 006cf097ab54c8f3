"""FastAPI routes that take the same bodies and do nothing: ``uvicorn benchmarks.peers.no_op:app``."""

from fastapi import FastAPI

from benchmarks.peers.shop_models import NewOrder, NewProduct

app = FastAPI()

_ID = "01a1fc3d-4ed4-7144-a308-eff603515c19"


@app.post("/products", status_code=201)
async def add_product(product: NewProduct) -> dict[str, str]:
    return {"id": _ID}


@app.post("/orders", status_code=201)
async def place_order(order: NewOrder) -> dict[str, str]:
    return {"id": _ID}
