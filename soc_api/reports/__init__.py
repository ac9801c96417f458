"""Official reports. One content class a report (``content``), built from the coverage ledger, and
one renderer a format; so the document, the workbook and the JSON cannot disagree."""
