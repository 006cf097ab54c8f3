"""A year of a shop's trade from a file of invoices, brought into this shop through queued commands with their dates.

The file is that of the public "Online Retail" data set: CSV (or gzip of it, told by content) in UTF-8 with the
columns InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice, CustomerID. Others, such as Country, are
not read.

**Lines**
1. A line whose cells can't be read is refused, each with its reason; the others go on.
2. `InvoiceDate` is UTC unless it names an offset. An invoice's date and customer are those of its first line.
3. Codes that differ only by case are one product; its SKU is the code in capitals.
4. Fees are no products and are left out: postage (POST, DOT), carriage (C2, C3), manual entries (M), discounts (D),
   bank charges, marketplace fees (AMAZONFEE), samples (S), commission (CRUK), adjustments (ADJUST…), tests (TEST…)
   and gift vouchers (GIFT_…), which are money and not pieces on a shelf. Every other code is a product.

**Invoices**
5. `A…` adjusts bad debt and is left out. `C…` cancels. Digits only is a sale, or a stock note. Any other is refused.
6. A stock note has no customer and only lines with price 0: pieces found, lost, damaged, thrown away. Its
   descriptions are remarks, never names.
7. A sale is one order of its customer (`guest` where there is none), placed, paid and shipped at the invoice's date.
   Each line is a line of the order, also when the product is the same. Lines with price 0 in it are gifts: they are
   part of the order, at 0.00, and don't make a product's price. An invoice of more than 1,000 lines is several
   orders, 1,000 lines each, in the order of the file. Lines without pieces, or with fewer than none, are refused.
8. Each line of a cancellation is a return, restocked, of the order that it undoes: of the same customer, product and
   price, dated not later; the latest that has so many pieces left that have not come back; if none has, several, the
   latest first. Returns take an order's lines in their order, so pieces behind a line with another price can't be
   reached. Without such an order the line is refused. Thus a refund is what the file says, to the penny. `guest` is
   one customer here too.

**Products**
9. A product exists from the first day (00:00) on which a sale or a stock note has it. Its name is its most frequent
   description in sales that has a capital letter (white space runs as one space; a tie: the first in the file), else
   its SKU.
10. Its price is that of the first day on which it was sold at one; a day's price is the most frequent in lines, a
    tie: the first in the file. Later days change it at 00:00, where their price is another. Never sold at a price:
    0.00.
11. Its opening stock is all that the file sells and writes off, so that no order is ever short.
12. Each line of a stock note is a recount at the end: counted is what is on hand then by the file.

Five barriers, each begun when all of the one before has ended, as nothing is promised between targets: products with
their stock, price changes, orders, returns, recounts. All ids are made from the file's facts (SKU, day, invoice,
line), so the import can be stopped anywhere and repeated: nothing happens twice, as long as the service keeps its
receipts (30 days). A changed file is refused where it says other things under the same ids. The shop must not sell
these products meanwhile: a recount is absolute.
"""

from command_service.retail.importing import import_retail
from command_service.retail.report import Imported

__all__ = ["Imported", "import_retail"]
