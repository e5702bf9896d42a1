/**
 * Settings of OHIF 3.13 for mammograms and the AI results beside them.
 *
 * Two sources: an archive, by the paths of Orthanc's DICOMweb plugin, and the node itself. Both
 * paths are below the address of the viewer: the web server in front passes them on. How to
 * install it: docs/viewers.md.
 */
(() => {
  const FOUR_VIEWS = ['R CC', 'L CC', 'R MLO', 'L MLO'];
  const CRANIO_CAUDAL = ['399162004', 'R-10242'];
  const MEDIO_LATERAL_OBLIQUE = ['399368009', 'R-10226'];
  const MANUFACTURER_OF_RESULTS = 'Mammo-CLIP DICOM project';
  const REVISION = /, rev (\d+)$/;

  const firstOf = displaySet => displaySet?.instances?.[0] ?? displaySet?.images?.[0];
  const itemsOf = sequence => (Array.isArray(sequence) ? sequence : sequence ? [sequence] : []);

  const isAiResult = displaySet => firstOf(displaySet)?.Manufacturer === MANUFACTURER_OF_RESULTS;

  /** What a series of results holds, such as 'L CC AI regions', and of which revision. */
  function contentOf(displaySet) {
    const description = firstOf(displaySet)?.SeriesDescription ?? '';
    return {
      content: description.replace(REVISION, ''),
      revision: Number(description.match(REVISION)?.[1] ?? 0),
    };
  }

  /** Whether nothing of the study replaces this result: an archive may keep former revisions. */
  function isNewestResult(displaySet, options) {
    const { content, revision } = contentOf(displaySet);
    const others = (options?.displaySets ?? []).filter(isAiResult).map(contentOf);
    return !others.some(other => other.content === content && other.revision > revision);
  }

  /** 'R CC' and so on for an image of a breast; '' for anything else, such as a magnification. */
  function viewOf(displaySet) {
    const image = firstOf(displaySet);
    if (image?.Modality !== 'MG' || displaySet.unsupported || isAiResult(displaySet)) {
      return '';
    }
    const [code] = itemsOf(image.ViewCodeSequence);
    const special = itemsOf(image.ViewModifierCodeSequence ?? code?.ViewModifierCodeSequence);
    const side = image.ImageLaterality ?? image.Laterality;
    const position = CRANIO_CAUDAL.includes(code?.CodeValue)
      ? 'CC'
      : MEDIO_LATERAL_OBLIQUE.includes(code?.CodeValue)
        ? 'MLO'
        : code
          ? ''
          : image.ViewPosition;
    const view = `${side} ${position}`;
    return FOUR_VIEWS.includes(view) && special.length === 0 ? view : '';
  }

  /** Which letter of the patient's orientation is opposite to the one that a reader expects. */
  function isTurned(displaySet) {
    const view = viewOf(displaySet);
    const [along = '', down = ''] = itemsOf(firstOf(displaySet)?.PatientOrientation);
    const opposite = view.startsWith('R') ? 'A' : 'P';
    const upsideDown = view.endsWith('MLO') ? 'H' : view.startsWith('R') ? 'R' : 'L';
    return { columns: along.startsWith(opposite), rows: down.startsWith(upsideDown) };
  }

  const attributes = {
    mammographyView: viewOf,
    /** How many images of the four views a study has. */
    mammographyViews: (study, options) =>
      (options?.displaySets ?? []).filter(one => one.StudyInstanceUID === study.StudyInstanceUID)
        .filter(viewOf).length,
    isAiResult,
    isNewestResult,
    isForPresentation: displaySet =>
      firstOf(displaySet)?.PresentationIntentType !== 'FOR PROCESSING',
    mustBeFlipped: ([displaySet]) => {
      const turned = displaySet ? isTurned(displaySet) : { columns: false, rows: false };
      return turned.columns !== turned.rows;
    },
    mustBeRotatedBy: ([displaySet]) => (displaySet && isTurned(displaySet).rows ? 180 : 0),
  };

  const equals = value => ({ equals: { value } });
  const mammogram = view => ({
    seriesMatchingRules: [
      { attribute: 'mammographyView', constraint: equals(view), required: true },
      { attribute: 'isForPresentation', constraint: equals(true), weight: 10 },
    ],
  });
  const aiResult = (modality, words) => ({
    seriesMatchingRules: [
      { attribute: 'isAiResult', constraint: equals(true), required: true },
      { attribute: 'isNewestResult', constraint: equals(true), required: true },
      { attribute: 'SeriesDescription', constraint: { contains: words }, required: true },
      { attribute: 'Modality', constraint: equals(modality), required: true },
    ],
  });

  /** A place for one view: the chest walls meet in the middle of each row of two. */
  function placeOf(view) {
    const edge = view.startsWith('R') ? 1 : 0;
    return {
      viewportOptions: {
        toolGroupId: 'default',
        viewportType: 'stack',
        displayArea: {
          storeAsInitialCamera: true,
          imageArea: [1, 1],
          imageCanvasPoint: { imagePoint: [edge, 0.5], canvasPoint: [edge, 0.5] },
        },
        flipHorizontal: { custom: 'mustBeFlipped', defaultValue: false },
        rotation: { custom: 'mustBeRotatedBy', defaultValue: 0 },
        allowUnmatchedView: true,
      },
      displaySets: [{ id: view }],
    };
  }

  const placeOfResult = id => ({
    viewportOptions: { toolGroupId: 'default', viewportType: 'stack', allowUnmatchedView: true },
    displaySets: [{ id }],
  });
  const twoByTwo = { layoutType: 'grid', properties: { rows: 2, columns: 2 } };

  const picturesAndTwo = {
    layoutType: 'grid',
    properties: {
      rows: 2,
      columns: 2,
      layoutOptions: [
        { x: 0, y: 0, width: 0.5, height: 1 },
        { x: 0.5, y: 0, width: 0.5, height: 0.5 },
        { x: 0.5, y: 0.5, width: 0.5, height: 0.5 },
      ],
    },
  };

  const mammography = {
    id: 'mammography',
    name: 'Mammography, and AI results',
    description: 'R CC, L CC, R MLO, L MLO back to back; then pictures, report and regions',
    numberOfPriorsReferenced: 0,
    toolGroupIds: ['default'],
    protocolMatchingRules: [
      {
        id: 'one of the four views',
        attribute: 'mammographyViews',
        constraint: { greaterThan: { value: 0 } },
        weight: 100,
        required: true,
      },
    ],
    displaySetSelectors: {
      ...Object.fromEntries(FOUR_VIEWS.map(view => [view, mammogram(view)])),
      pictures: aiResult('OT', 'AI pictures'),
      report: aiResult('SR', 'AI report'),
      regions: aiResult('SEG', 'AI regions'),
    },
    stages: [
      {
        id: 'views',
        name: 'Four views',
        viewportStructure: twoByTwo,
        viewports: FOUR_VIEWS.map(placeOf),
      },
      {
        id: 'ai-results',
        name: 'AI results: pictures, report, regions',
        // A study without results has no such stage.
        stageActivation: { passive: { minViewportsMatched: 1 } },
        // Of the regions one series alone: OHIF 3.13 may draw a second one beside it in black.
        viewportStructure: picturesAndTwo,
        viewports: ['pictures', 'report', 'regions'].map(placeOfResult),
      },
    ],
  };

  /** Turn an image as its place says: OHIF 3.13 flips by itself, and forgets the rotation. */
  function rotate(cornerstoneViewportService, viewportId) {
    const rotation = cornerstoneViewportService.getViewportOptions(viewportId)?.rotation;
    const viewport = cornerstoneViewportService.getCornerstoneViewport(viewportId);
    if (rotation && viewport?.getViewPresentation?.().rotation !== rotation) {
      viewport.setViewPresentation({ ...viewport.getViewPresentation(), rotation });
      viewport.render();
    }
  }

  const LOOKS_AT_A_REPORT = 60;
  const BETWEEN_LOOKS_MS = 250;

  /**
   * Draw a report's image again until its regions are over it.
   *
   * OHIF 3.13 tells the report's tool which regions are meant only after it gave the image to the
   * viewport, and draws nothing then: if the image came first, no region showed until the next
   * movement.
   */
  function drawRegions(servicesManager, viewportId, looks = LOOKS_AT_A_REPORT) {
    const { cornerstoneViewportService, toolGroupService } = servicesManager.services;
    const viewport = cornerstoneViewportService.getCornerstoneViewport(viewportId);
    const isReport = toolGroupService.getToolGroupForViewport(viewportId)?.id === 'SRToolGroup';
    if (!viewport || !isReport || viewport.element.querySelector('svg.svg-layer text')) {
      return;
    }
    viewport.render();
    if (looks > 0) {
      setTimeout(drawRegions, BETWEEN_LOOKS_MS, servicesManager, viewportId, looks - 1);
    }
  }

  let subscription;
  const mammographyExtension = {
    id: 'mammography-hanging',
    preRegistration: ({ servicesManager }) => {
      const { hangingProtocolService } = servicesManager.services;
      for (const [name, attribute] of Object.entries(attributes)) {
        hangingProtocolService.addCustomAttribute(name, name, attribute);
      }
    },
    onModeEnter: ({ servicesManager }) => {
      const { cornerstoneViewportService } = servicesManager.services;
      subscription = cornerstoneViewportService.subscribe(
        cornerstoneViewportService.EVENTS.VIEWPORT_DATA_CHANGED,
        ({ viewportId }) => {
          rotate(cornerstoneViewportService, viewportId);
          drawRegions(servicesManager, viewportId);
        }
      );
    },
    onModeExit: () => subscription?.unsubscribe(),
    getHangingProtocolModule: () => [{ name: mammography.id, protocol: mammography }],
  };

  const source = (sourceName, friendlyName, root, wadoUriRoot) => ({
    namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
    sourceName,
    configuration: {
      friendlyName,
      name: sourceName,
      wadoUriRoot,
      qidoRoot: root,
      wadoRoot: root,
      qidoSupportsIncludeField: true,
      supportsReject: false,
      supportsStow: false,
      supportsFuzzyMatching: false,
      supportsWildcard: true,
      imageRendering: 'wadors',
      thumbnailRendering: 'wadors',
      // With lazy load a segmentation may be laid over the first image of the series.
      enableStudyLazyLoad: false,
      dicomUploadEnabled: false,
      singlepart: 'bulkdata,video',
      bulkDataURI: { enabled: true, relativeResolution: 'studies' },
      omitQuotationForMultipartRequest: true,
    },
  });

  window.config = {
    routerBasename: null,
    extensions: [mammographyExtension],
    modes: [],
    // Studies without a mammogram hang as OHIF hangs them by itself.
    modesConfiguration: Object.fromEntries(
      ['@ohif/mode-longitudinal', '@ohif/mode-basic'].map(mode => [
        mode,
        { hangingProtocol: { $set: [mammography.id, 'default'] } },
      ])
    ),
    customizationService: {},
    showStudyList: true,
    maxNumberOfWebWorkers: 2,
    showWarningMessageForCrossOrigin: false,
    showCPUFallbackMessage: false,
    strictZSpacingForVolumeViewport: true,
    groupEnabledModesFirst: true,
    investigationalUseDialog: { option: 'never' },
    defaultDataSourceName: 'archive',
    dataSources: [
      source('archive', 'Archive', '/dicom-web', '/wado'),
      source('node', 'AI node', '/dicomweb', '/dicomweb'),
    ],
  };
})();
